"""A column of texts as counts of its most frequent words or letter groups, by scikit-learn's `CountVectorizer`.

Counts are divided by their norm in each row, so that a long text weighs no more than a short one.

Shapes: N rows, G groups.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

MOST = 1000
"""Groups that are counted at most, each of which is a feature."""
FEWEST_ROWS = 2
"""Training rows that a group must be in."""
Grams = Literal["words", "characters"]
OPTIONS: Final[dict[Grams, dict[str, Any]]] = {
    "words": {"ngram_range": (1, 2), "token_pattern": r"\b\w+\b"},
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 4)},
}
"""Words, and pairs that follow each other; or two to four letters within a word, with its ends."""


def vocabulary(column: "pd.Series[str]", kind: Grams) -> list[str]:
    """Returns the most frequent groups of texts, sorted.

    Raises:
        ValueError: no two texts have one in common.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        found = CountVectorizer(**OPTIONS[kind], min_df=FEWEST_ROWS, max_features=MOST).fit(column)
    except ValueError as error:  # no words at all, or none that is left
        raise ValueError(
            f"Column {str(column.name)!r} has no {kind} that {FEWEST_ROWS} training rows have in common: give it "
            "another type, or leave it out."
        ) from error
    return sorted(map(str, found.vocabulary_))


def count(column: "pd.Series[str]", kind: Grams, groups: Sequence[str]) -> NDArray[np.float64]:
    """Counts groups in texts, [N, G]; each row has the norm 1, or 0 where it has none of them."""
    from sklearn.feature_extraction.text import CountVectorizer

    found = CountVectorizer(**OPTIONS[kind], vocabulary=list(groups), dtype=np.float64).transform(column).toarray()
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    counts: NDArray[np.float64] = found / np.where(norms > 0, norms, 1.0)
    return counts
