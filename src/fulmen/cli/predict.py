"""Predictions of a trained network for new rows, in their order.

usage: fulmen predict RUN input=FILE [option=value ...]

RUN is a run's folder, a checkpoint, or the address of one (https://...).

options
  input=FILE             rows: CSV or Parquet with a header, or NumPy (.npy); of images a file, or a folder
  output=FILE            .csv, .parquet or .npy; by default CSV on the standard output
  separator=CHARACTER    between the columns of a CSV file
  decimal=CHARACTER      the decimal point of a CSV file
  missing=[WORD]         words for a missing value in a CSV file
  weights=best|last      which of a run's checkpoints; by default those that it evaluated
  trust_checkpoint=true  load a checkpoint that holds more than plain values: runs code of whoever made it
  allow_targets=[NAME]   modules of your own that the checkpoint may name
  --config-dir=FOLDER    the folder that these modules are in, outside of a project

  fulmen predict logs/runs/2026-11-24_10-00-00_ab12cd input=new.csv output=predictions.csv

Columns are matched by the names of the features; others, such as the target, are left out of account. Arrays are
matched by position: [rows, features], or images. Rows are scaled as the training rows were.

Of values there is a column for each target. Of classes there are `prediction`, the likeliest one, and
`probability_<class>` for each; in a .npy file the probabilities alone.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fulmen.cli import arguments
from fulmen.config import overrides
from fulmen.data.sets import npy_files
from fulmen.data.sets.images import Images
from fulmen.data.sets.table import Table
from fulmen.data.source import DataSpec, Source
from fulmen.data.tables.cells import Form
from fulmen.data.tables.reader import read
from fulmen.errors import ConfigurationError
from fulmen.rules import check, many, text
from fulmen.runs.files import expand_home, replacing

if TYPE_CHECKING:
    import pandas as pd

OPTIONS = {
    "input": "a CSV, Parquet or NumPy file",
    "output": "a CSV, Parquet or NumPy file",
    "separator": "between the columns of a CSV file",
    "decimal": "the decimal point of a CSV file",
    "missing": "words for a missing value in a CSV file",
    **arguments.OPTIONS,
}
ENDINGS = (".csv", ".parquet", ".npy")


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Raises:
        ValueError: says what is wrong with its arguments, the checkpoint or the rows.
    """
    given = arguments.parse(argv, OPTIONS)
    if "input" not in given.options:
        raise ConfigurationError("name the rows: input=<a CSV, Parquet or NumPy file>")
    output = arguments.output(given, ENDINGS)
    if output is not None and output.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ConfigurationError(f"output={output} needs pyarrow: pip install 'fulmen[parquet]'")
    network = arguments.load(given)
    form: dict[str, Any] = {
        name: given.options[name].strip("'\"") for name in ("separator", "decimal") if name in given.options
    }
    if "missing" in given.options:
        form["missing"] = overrides.read(f"missing={given.options['missing']}").value()
        check("missing", form["missing"], many(text()))
    source, path, names = network.source, given.options["input"], None
    if isinstance(source, Images) and not path.endswith(".npy"):
        names, found = source.read(path)
    else:
        found = rows(source, path, **form)
    scores, spec = network.predictor.scores(found), network.predictor.spec
    if output is None:
        print(frame(scores, spec, names).to_csv(index=False), end="")
    else:
        _write(scores, spec, output, names)
        print(f"{output}: predictions of {len(scores):,} rows")
    return 0


def rows(source: Source, path: str, **form: Any) -> Any:
    """Returns the rows in a file: a DataFrame, or of a NumPy file an array.

    Args:
        source: what the network was trained on.
        path: of the file.
        form: `separator`, `decimal` and `missing` of a CSV file.

    Raises:
        ValueError: they cannot be read; says why.
    """
    if path.endswith(".npy"):
        return np.array(npy_files.mapped(expand_home(path)))
    if isinstance(source, Table):
        return source.read(path, **form)
    separator = form.pop("separator", None)
    return read(path, separator=separator, form=Form(prefix="", **form), used=source.spec.feature_names)


def frame(scores: NDArray[np.floating], spec: DataSpec, names: Sequence[str] | None = None) -> "pd.DataFrame":
    """Predictions as a table, a row for each row: values [N, T], or probabilities [N, K] and the likeliest class.

    If the rows have names, such as those of files, these come first.
    """
    import pandas as pd

    if spec.task == "regression":
        return pd.DataFrame(scores, columns=list(spec.target_names))
    likeliest = spec.labels[scores.argmax(1)]
    probabilities = {f"probability_{name}": scores[:, place] for place, name in enumerate(spec.target_names)}
    files = {} if names is None else {"file": names}
    return pd.DataFrame({**files, "prediction": likeliest, **probabilities})


def _write(scores: NDArray[np.floating], spec: DataSpec, output: Path, names: Sequence[str] | None) -> None:
    with replacing(output) as file:
        if output.suffix == ".npy":
            np.save(file, scores)
        elif output.suffix == ".csv":
            frame(scores, spec, names).to_csv(file, index=False)
        else:
            frame(scores, spec, names).to_parquet(file, index=False)
