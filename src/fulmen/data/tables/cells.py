"""What the cells of a CSV file were meant to be: missing, a number, yes or no, or a text.

All cells of a column decide that together, and where they leave it open, the file's other columns: `1,234` is over a
thousand where other numbers have a decimal point, and about one where they have a decimal comma. If nothing tells, the
column is refused with both readings.

Shapes: N rows, K different texts.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from fulmen.data.tables.advice import typed, word
from fulmen.data.tables.columns import DATE, clean
from fulmen.data.tables.numbers import NAMES, PLAIN, Number
from fulmen.rules import listed

if TYPE_CHECKING:
    import pandas as pd

Type = Literal["number", "text", "yes_no", "words", "characters", "date"]
OF_FEATURES: Final[Sequence[Type]] = ("words", "characters", "date")
"""Types that a column has only where the user says so; its cells are texts."""

EMPTY = frozenset(
    {"", "#n/a", "#n/a n/a", "#n/d", "#na", "#nv", "-1.#ind", "-1.#qnan", "-nan", "1.#ind", "1.#qnan", "<na>"}
)
"""What programs write for a missing value, and nobody for a category, in small letters."""
FORMULA = re.compile(r"#¡?[^\W\d_a-z][^\sa-z]*[!?]")
"""What spreadsheet programs write where a formula failed, in any language: #DIV/0!, #WERT!, #NAME?."""
WORDS = EMPTY | {"n/a", "n.a.", "n. a.", "na", "null", "nan", "none", "?", "-", "--", "---", "–", "—", ".", "..", "..."}
"""What is a missing value among numbers; the words added here may be a category among texts."""
BOOLEANS = frozenset({"True", "TRUE", "true", "False", "FALSE", "false"})
"""Words by which a column is recognized as one of yes and no."""
YES_NO = {
    **dict.fromkeys(("true", "yes", "t", "y", "on", "1", "1.0"), True),
    **dict.fromkeys(("false", "no", "f", "n", "off", "0", "0.0"), False),
}
"""Words in small letters that a column may hold if it is known to be one of yes and no."""

TOTALS = frozenset({"total", "totals", "grand total", "sum", "average", "mean", "summe", "gesamt", "insgesamt"})
"""What a line says, in small letters, that sums up the others."""
MANY = 20
"""Different numbers from which on a column of them is no coincidence."""


@dataclass(frozen=True)
class Form:
    """How a file is written, as far as the user says or the training rows showed."""

    decimal: str | None = None
    """The decimal point of all columns; None: as each column shows."""
    missing: Sequence[str] | None = None
    """Words for a missing value in every column, beside `WORDS` where the other cells are no texts; empty: none."""
    types: Mapping[str, Type] = field(default_factory=dict)
    """Types of columns, by name."""
    written: Mapping[str, str] = field(default_factory=dict)
    """How the training rows are written (`Cells.written`), by column."""
    separator: str = ","
    """Where columns are not separated by commas, the decimal point often is one."""
    prefix: str = "data."
    """Stands before the keys in advice."""


class Cells(NamedTuple):
    """A column, decided."""

    values: "pd.Series[Any]"
    missing: Mapping[str, int] = {}
    """The words taken for missing, and how often; an empty cell is an empty word."""
    written: str = ""
    """The decimal point and the mark between groups of digits, if they show, then `%`, a currency or a unit."""
    remark: str = ""
    """What was done with the cells, or could be."""
    error: str = ""
    """Why they cannot be read, which matters if the column is used."""


class Texts:
    """The different texts of a column, and what they may be."""

    def __init__(self, raw: "pd.Series[Any]", form: Form) -> None:
        import pandas as pd

        self.name, self.index, self.form = str(raw.name), raw.index, form
        codes, found = pd.factorize(raw)
        cleaned = [*map(clean, found), ""]  # what is empty has the code -1
        self.texts = list(dict.fromkeys(cleaned))  # [K]
        places = {text: place for place, text in enumerate(self.texts)}
        self.codes = np.array([places[text] for text in cleaned])[codes]  # [N]
        self.counts = dict(zip(self.texts, np.bincount(self.codes, minlength=len(self.texts)).tolist(), strict=True))
        self.missing = self._missing(WORDS)
        self.numbers = {text: Number.of(text) for text in self.texts if text not in self.missing}
        self.is_typed = self.name in form.types
        self.type: Type = "text"  # unless all texts fit another type
        if self.is_typed:
            self.type = "text" if form.types[self.name] in OF_FEATURES else form.types[self.name]
        elif all(text in BOOLEANS for text in self.numbers):
            self.type = "yes_no"
        elif all(number and not number.unit for number in self.numbers.values()):
            self.type = "number"
        dates = all(re.fullmatch(DATE, text) for text in self.numbers)
        is_date = form.types.get(self.name) == "date" or (dates and not self.is_typed)
        if self.type == "text" and not is_date:  # words may be texts among texts
            self.missing = self._missing(EMPTY)
        read = [number for number in self.numbers.values() if number and self.type == "number"]
        self.shown = {number.shows for number in read if number.shows}
        """The decimal points that the numbers cannot be read without."""
        self.has_commas = any("," in number.marks for number in read)
        """True if the numbers have commas, whatever they mean."""

    def _missing(self, words: frozenset[str]) -> set[str]:
        """Returns the texts that are missing values: `words`, and those that the user gives; if that is none, none."""
        given = self.form.missing
        if given is not None and not given:
            return {""}
        numbers = {float(word) for word in given or () if PLAIN.fullmatch(word)}
        return {
            text
            for text in self.texts
            if text.casefold() in words
            or FORMULA.fullmatch(text)
            or text in (given or ())
            or (PLAIN.fullmatch(text) and float(text) in numbers)
        }

    @property
    def is_odd_in_first_row(self) -> bool:
        """True if all rows but the first hold numbers."""
        first = self.texts[self.codes[0]] if len(self.codes) else ""
        others = [number for text, number in self.numbers.items() if text != first]
        odd = first in self.numbers and self.numbers[first] is None and self.counts[first] == 1
        return odd and len(others) > 1 and all(number and not number.unit for number in others) and not self.is_typed

    def decide(self, shown: Iterable[str]) -> Cells:
        """Returns the column; `shown` are the decimal points that show anywhere in the file."""
        missing = {text: self.counts[text] for text in self.texts if text in self.missing and self.counts[text]}
        if self.type == "number":
            return self._as_numbers(missing, set(shown))
        if self.type == "text":
            values = {text: text for text in self.texts if text not in self.missing}
            return Cells(self._series(values, "str"), missing, remark=self._remark())
        words = {text: YES_NO.get(text.casefold()) for text in self.numbers}
        wrong = next((text for text, value in words.items() if value is None), None)
        error = "" if wrong is None else self._wrong(wrong, "yes or no")
        return Cells(self._series(words, None if missing else "bool"), missing, error=error)

    def _as_numbers(self, missing: dict[str, int], shown: set[str]) -> Cells:
        import pandas as pd

        numbers = {text: number for text, number in self.numbers.items() if number is not None}
        point, error = self._point(numbers, shown)
        error = self._unlike(numbers) or error
        wrong = next((text for text in self.numbers if text not in numbers or point not in numbers[text].values), None)
        if not numbers and len(self.numbers) > 1 and not error:
            error = self._wrong(next(iter(self.numbers)), "numbers, and none of its cells does")
        elif wrong is not None and not error:
            words = word(self.form.prefix + "missing", [*(self.form.missing or ()), wrong])
            kind = f"finite numbers; if it stands for a missing value, add {words}"
            error = self._wrong(wrong, f"numbers with a decimal {NAMES[point]}" if wrong in numbers else kind)
        if error:
            return Cells(self._series({text: text for text in self.numbers}, "str"), missing, error=error)
        read = {text: number.values[point] for text, number in numbers.items()}
        values = pd.to_numeric(pd.Series(list(read.values()), dtype=object))
        marks = {mark for number in numbers.values() for mark in number.marks}
        units = {number.sign or number.unit for number in numbers.values()} - {""}
        written = (point if marks else "") + "".join([*(marks - {point}), *units])
        changed = [text for text, value in read.items() if text != value or re.match(r"[-+]?0[0-9]", text)]
        example = max(changed, key=len, default="")
        remark = f"{example!r} is {read[example]}" if changed else ""
        series = self._series(dict(zip(read, values, strict=True)), "float64" if missing else None)
        return Cells(series, missing, written, remark)

    def _point(self, numbers: Mapping[str, Number], shown: set[str]) -> tuple[str, str]:
        """Finds the decimal point, and what speaks against every choice, if anything does."""
        own, form = self.shown, self.form
        before = form.written.get(self.name, "")
        trained = before[:1] if before[:1] in NAMES else ""
        unclear = next((text for text, number in numbers.items() if number.is_ambiguous), None)
        if form.decimal is not None:
            return form.decimal, ""
        if len(own) == 2:
            one, other = (next(text for text, number in numbers.items() if number.shows == point) for point in NAMES)
            return ".", (
                f"Column {self.name!r} holds {one!r} with a decimal point and {other!r} with a decimal comma: write "
                f"all in one way, or keep them as texts with {typed(self.name, 'text')}."
            )
        if trained and own - {trained}:
            example, point = next((text, number.shows) for text, number in numbers.items() if number.shows)
            return ".", (
                f"Column {self.name!r} holds {example!r}, and its training rows have a decimal {NAMES[trained]}: if "
                f"these rows have a decimal {NAMES[point]}, add {word(form.prefix + 'decimal', point)}."
            )
        if own or unclear is None:
            return min(own, default="."), ""
        marks = numbers[unclear].marks
        if trained and marks in before:
            return trained, ""
        if not trained and len(shown) == 1:
            return min(shown), ""
        if not trained and not shown and marks == "." and form.separator == ",":
            return ".", ""
        point, comma = (numbers[unclear].values[mark] for mark in NAMES)
        return ".", (
            f"Column {self.name!r} holds {unclear!r}, which is {point} with a decimal point and {comma} with a decimal "
            f"comma: add {word(form.prefix + 'decimal', '.')} or {word(form.prefix + 'decimal', ',')}."
        )

    def _unlike(self, numbers: Mapping[str, Number]) -> str:
        """Returns why numbers cannot stand in one column: their units differ, or are not those of the training rows."""
        percent = {text: number.sign if number.sign in ("%", "‰") else "" for text, number in numbers.items()}
        money = {text: number.sign for text, number in numbers.items() if number.sign not in ("", "%", "‰")}
        units = {text: number.unit for text, number in numbers.items()}
        for signs in (percent, money, units):
            examples = {sign: text for text, sign in signs.items()}
            if len(examples) > 1:
                one, other, *_ = examples.values()
                return (
                    f"Column {self.name!r} holds {one!r} and {other!r}, which have different units: write all in one, "
                    f"or keep them as texts with {typed(self.name, 'text')}."
                )
        before = self.form.written.get(self.name)
        had = (before or "").lstrip(".,")
        for text, number in numbers.items() if before is not None else ():
            sign = number.sign or number.unit
            if sign != had and (sign or had in ("%", "‰")):
                unit = repr(had) if had else "no unit"
                return f"Column {self.name!r} holds {text!r}, and its training rows have {unit}: write them alike."
        return ""

    def _wrong(self, text: str, wanted: str) -> str:
        row = int((self.codes == self.texts.index(text)).argmax()) + 1
        return f"Column {self.name!r} holds {text!r} in row {row}: it must hold {wanted}."

    def _series(self, values: Mapping[str, Any], dtype: Any) -> "pd.Series[Any]":
        """Returns the value of each row's text, [N]; NaN where it has none."""
        import pandas as pd

        used = [text for text in self.texts if self.counts[text]]
        each = pd.Series([values.get(text, np.nan) for text in used], dtype=object)
        each = each.astype(dtype) if dtype else each.infer_objects()
        places = np.cumsum([self.counts[text] > 0 for text in self.texts]) - 1
        return each.take(places[self.codes]).set_axis(self.index).rename(self.name)

    def _remark(self) -> str:
        """Returns what texts might have been instead."""
        said = []
        if words := [text for text in self.texts if text.casefold() in WORDS - EMPTY and text not in self.missing]:
            counted = listed([f"{text!r} ({self.counts[text]})" for text in words])
            advice = word("data.missing", [*(self.form.missing or ()), *words])
            said.append(f"{counted} taken for a text; for a missing value add {advice}")
        folded = Counter(text.casefold() for text in self.numbers)
        if most := [folding for folding, count in folded.items() if count > 1]:
            alike = [repr(text) for text in self.numbers if text.casefold() == most[0]]
            said.append(f"{listed(alike)} differ in small and large letters alone")
        numbers = [number for number in self.numbers.values() if number]
        others = [text for text, number in self.numbers.items() if not number]
        if numbers and len(others) <= len(numbers) and not self.is_typed:
            shown = listed([repr(text) for text in others[:3]])
            with_unit = f"numbers with a unit, so taken for texts; for numbers add {typed(self.name, 'number')}"
            said.append(f"numbers but for {shown}, so taken for texts" if others else with_unit)
        return "; ".join(said)


def decide(table: "pd.DataFrame", raw: Callable[[list[str]], "pd.DataFrame"], form: Form) -> dict[str, Cells]:
    """Decides the columns of a file.

    Args:
        table: as pandas reads it, with nothing but empty cells missing: numbers where all cells are plain ones.
        raw: returns some of its columns as texts.
        form: how they are written, as far as it is known.

    Raises:
        ValueError: the first or the last row is none.
    """
    import pandas as pd

    columns = {str(name): table[name] for name in table}
    texts = {name: Texts(cells, form) for name, cells in columns.items() if isinstance(cells.dtype, pd.StringDtype)}
    commas = form.separator != "," or any(column.has_commas for column in texts.values())

    def is_undecided(name: str, cells: "pd.Series[Any]") -> bool:
        """Returns whether plain numbers may have been meant otherwise."""
        if any(map(PLAIN.fullmatch, form.missing or ())) and cells.dtype.kind in "iuf":
            return True  # a number may stand for a missing value
        if form.types.get(name, "number") != "number" or {*form.written.get(name, "")} & {*",%‰"}:
            return True
        return cells.dtype.kind == "f" and (form.decimal == "," or (commas and _may_have_groups(cells)))

    if again := [name for name, cells in columns.items() if name not in texts and is_undecided(name, cells)]:
        found = raw(again)
        texts |= {name: Texts(found[name], form) for name in again}
    _check_ends(texts.values())
    decided = {name: _plain(cells) for name, cells in columns.items() if name not in texts}
    shown = {point for column in texts.values() for point in column.shown}
    shown |= {column.written for column in decided.values() if column.written}
    return {name: texts[name].decide(shown) if name in texts else decided[name] for name in columns}


def _may_have_groups(column: "pd.Series[Any]") -> bool:
    """Returns whether the point of numbers may part groups of digits: 1.234 as 1234."""
    values = column.dropna().abs().to_numpy()
    thousands = values * 1000
    has_three_digits = (values > 1) & (values < 1000) & (abs(thousands - thousands.round()) < 1e-6)
    return bool(((values % 1 == 0) | has_three_digits).all())


def _check_ends(columns: Collection[Texts]) -> None:
    """Raises ValueError where a second line of the header, such as units, or one of totals is taken for a row."""
    for column in columns:
        last = column.texts[column.codes[-1]] if len(column.codes) else ""
        if last.casefold().rstrip(": ") in TOTALS and column.counts[last] == 1 and not column.is_typed:
            raise ValueError(
                f"The last row holds {last!r} in column {column.name!r}: if it sums up the others, delete that line; "
                f"if not, add {typed(column.name, 'text')}."
            )
    odd = {column.texts[column.codes[0]]: column for column in columns if column.is_odd_in_first_row}
    if len(odd) > 1 or any(len(column.numbers) > MANY for column in odd.values()):
        raise ValueError(
            f"Row 1 holds {listed([repr(text) for text in odd])}, where all other rows hold numbers: if these are "
            "units or a second header, delete that line; if they stand for missing values, add "
            f"{word('data.missing', list(odd))}."
        )


def _plain(column: "pd.Series[Any]") -> Cells:
    """Returns a column that pandas has read as numbers, or as whatever else a Parquet file says it is."""
    empty = int(column.isna().sum())
    has_point = column.dtype.kind == "f" and bool((column.dropna() % 1 != 0).any())
    return Cells(column, {"": empty} if empty else {}, "." if has_point else "")
