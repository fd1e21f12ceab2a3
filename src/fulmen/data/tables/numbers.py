"""Numbers as people write them: digits in groups, either decimal point, currencies, percent signs, units, brackets."""

import re
from typing import NamedTuple

CURRENCY = r"[A-Z]{0,3}[$¢-¥₠-⃏]|Rs\.?|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|kr|zł|Kč"
NUMBER = re.compile(
    rf"(?P<minus>[-+]?)\s*(?P<before>{CURRENCY})?\s*(?P<minus2>[-+]?)"
    r"(?P<digits>[0-9.,](?:[0-9.,'’\s]*[0-9.,])?)(?P<exponent>[eE][-+]?[0-9]+)?"
    rf"\s*(?:(?P<after>{CURRENCY}|%|‰)|(?P<unit>(?:[^\W\d_]|[°'′″\"])[^\d,;()]{{0,9}}))?"
)
"""A number as people write it: with digits in groups, a sign of its currency, a percent sign, or a unit."""
BRACKETS = re.compile(r"([^()\d]*)\(([^()]*)\)([^()\d]*)")
"""A number below 0 as bookkeepers write it; what is not in the brackets is its sign: $ (1,250)."""


def _digits(point: str, group: str) -> "re.Pattern[str]":
    """Returns the pattern of a number's digits; groups are of three, or of two and at last three as in India."""
    grouped = (
        rf"[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+|[1-9][0-9]?(?:{group}[0-9]{{2}})+{group}[0-9]{{3}}"
        r"|[1-9][0-9]{0,2}(?P<space>['’\s])[0-9]{3}(?:(?P=space)[0-9]{3})*"
    )
    return re.compile(rf"(?:[0-9]+|{grouped})(?:{point}[0-9]*)?|{point}[0-9]+")


DIGITS = {".": _digits(r"\.", ","), ",": _digits(",", r"\.")}
"""What the digits of a number look like, by its decimal point."""
PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
INFINITE = re.compile(r"(?i)[-+]?inf(?:inity)?")
MARKS = str.maketrans("−–٫．٬，", "--..,,")
"""A true minus, and the decimal points and the marks between groups of other scripts."""
OTHER = {".": ",", ",": "."}
NAMES = {".": "point", ",": "comma"}


class Number(NamedTuple):
    """A cell that is a number in at least one reading."""

    values: dict[str, str]
    """Its readings, as Python writes numbers, by the decimal point that they take."""
    sign: str
    """Of a currency, or percent; empty: none."""
    unit: str
    marks: str
    """The points and commas among its digits."""

    @classmethod
    def of(cls, text: str) -> "Number | None":
        """Parses a cell; None: it is no number."""
        plain = re.sub(r"\d", lambda digit: str(int(digit[0])), text).translate(MARKS)
        if INFINITE.fullmatch(plain):  # a number, which is refused later
            return cls({".": plain, ",": plain}, "", "", "")
        bracketed = BRACKETS.fullmatch(plain)
        found = NUMBER.fullmatch("".join(bracketed.groups()).strip() if bracketed else plain)
        if found is None:
            return None
        digits = found["digits"]
        minus = "-" if bracketed or "-" in found["minus"] + found["minus2"] else ""
        values = dict[str, str]()
        for point, pattern in DIGITS.items():
            is_grouped = OTHER[point] in digits or re.search(r"['’\s]", digits)
            if pattern.fullmatch(digits) and not (is_grouped and found["exponent"]):
                bare = re.sub(f"[^0-9{point}]", "", digits).replace(point, ".")
                values[point] = f"{minus}{bare}{found['exponent'] or ''}"
        sign, unit = (found["before"] or found["after"] or "").rstrip("."), (found["unit"] or "").strip()
        return cls(values, sign, unit, "".join(mark for mark in ".," if mark in digits)) if values else None

    @property
    def shows(self) -> str:
        """The decimal point that it cannot be read without; empty: there is none, or its mark may part groups."""
        return next(iter(self.values)) if len(self.values) == 1 else ""

    @property
    def is_ambiguous(self) -> bool:
        """True if its value depends on what its mark means."""
        return len(set(self.values.values())) > 1
