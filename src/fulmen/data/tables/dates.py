"""Dates as features: days since 1970, and sine and cosine with the periods of a year, a week and, with times, a day.

The waves let a network see seasons, weekdays and hours whose last moment is next to the first one. Time zones are left
aside: what counts is the time that is written.

Shapes: N rows, P parts.
"""

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
"""A month may be cut off after three letters or more."""
ORDERS = {
    "": "",
    "dmy": ", with the day before the month as in the training rows",
    "mdy": ", with the month before the day as in the training rows",
}
"""Orders of day and month, where neither the year comes first nor the month has a name; and how messages say so."""
PERIODS = {"year": 365.2425, "week": 7.0, "day": 1.0}
"""Days."""
ZONE = r"\s*(?:Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?"
TIME = r"(?:[T ]+(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d(?:[.,]\d+)?))?\s*(?P<half>[ap]m)?" + ZONE + ")?"
WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[, ]+)?"
MONTH = r"(?P<month>[a-z]{3,9})"
YEAR = r"(?P<year>\d{4}|\d\d)"
FORMS = [
    re.compile(form + TIME, re.IGNORECASE)
    for form in (
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
        WEEKDAY + r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?[- ]" + MONTH + r"\.?[-, ]+" + YEAR,
        WEEKDAY + MONTH + r"\.?[- ](?P<day>\d{1,2})(?:st|nd|rd|th)?(?:-|,? +)(?P<year>\d{4})",
        r"(?P<one>\d{1,2})(?P<mark>[-/.])(?P<other>\d{1,2})[-/.]" + YEAR,
    )
]
"""2024-01-31, 20240131, 31 Jan 2024, Jan 31, 2024, and with day and month in either order 31.1.2024."""


def order(column: "pd.Series[Any]") -> str:
    """Returns `dmy` or `mdy`, as the dates show; nothing if they begin with the year or name the month.

    Raises:
        ValueError: they may be read in both ways, or in none.
    """
    texts = column.dropna().astype(str).unique()
    found = [match for text in texts if (match := FORMS[-1].fullmatch(text.strip()))]
    if not found:
        return ""
    first, second = (max(int(match[name]) for match in found) for name in ("one", "other"))
    if first <= 12 and second <= 12 and any(match["mark"] != "." for match in found):
        raise ValueError(
            f"Column {str(column.name)!r} holds dates such as {found[0][0]!r}, in which day and month may be either "
            "way round: write them as 2024-01-31 in the file."
        )
    return "mdy" if second > 12 else "dmy"


def days(column: "pd.Series[Any]", written: str) -> NDArray[np.float64]:
    """Returns the days since 1970 of dates, [N]; NaN where one is missing. `written` is their `order`.

    Raises:
        ValueError: a value is no date.
    """
    there = column.dropna().astype(str)
    each = {text: _days(text, written) for text in there.unique()}
    wrong = next((text for text, value in each.items() if value is None), None)
    if wrong is not None:
        row = int(there.index[(there == wrong).to_numpy().argmax()]) + 1
        raise ValueError(
            f"Column {str(column.name)!r} holds {wrong!r} in row {row}: it must hold dates, such as 2024-01-31 or "
            f"2024-01-31 13:45{ORDERS[written]}."
        )
    found: NDArray[np.float64] = there.map(each).reindex(column.index).to_numpy(dtype=np.float64)
    return found


def _days(text: str, written: str) -> float | None:
    match = next((match for form in FORMS if (match := form.fullmatch(text.strip()))), None)
    if match is None or ("one" in match.groupdict() and not written):  # training rows show no order
        return None
    found = match.groupdict()
    day, month = found.get("day") or found["one"], found.get("month") or found["other"]
    if "one" in found and written == "mdy":
        day, month = month, day
    year = int(found["year"])
    year += 0 if len(found["year"]) == 4 else 1900 if year >= 69 else 2000  # as POSIX has it
    hour = int(found["hour"] or 0)
    if found["half"]:
        hour = hour % 12 + 12 * (found["half"].lower() == "pm")
    word = month.lower()
    number = (
        int(word) if word.isdigit() else sum(place for place, name in enumerate(MONTHS, 1) if name.startswith(word))
    )
    seconds = float((found["second"] or "0").replace(",", "."))
    with suppress(ValueError, OverflowError):  # no such day, or time
        then = datetime(year, number, int(day), hour, int(found["minute"] or 0), int(seconds))
        return (then - datetime(1970, 1, 1) + timedelta(seconds=seconds % 1)) / timedelta(days=1)
    return None


def parts(moments: NDArray[np.float64]) -> list[str]:
    """Returns the names of the features of days, [N]: those of a time of day only if there is one."""
    has_times = bool((moments % 1 != 0).any())
    periods = [name for name in PERIODS if name != "day" or has_times]
    return ["days", *(f"{period}_{wave}" for period in periods for wave in ("sin", "cos"))]


def features(moments: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.float64]:
    """Returns the features [N, P] of days [N], by their names."""
    found = {"days": moments}
    for period, length in PERIODS.items():
        angle = 2 * math.pi * moments / length
        found |= {f"{period}_sin": np.sin(angle), f"{period}_cos": np.cos(angle)}
    return np.stack([found[name] for name in names], axis=1)
