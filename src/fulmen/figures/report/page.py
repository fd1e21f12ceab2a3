"""The parts of a report, and the page that holds them.

Everything that a user may have named is escaped, and a Content-Security-Policy forbids the network, so a report can be
passed on. The charts are Plotly's, by its smallest script: the whole one, which its Python package has, takes a second
longer to run.
"""

import functools
import gzip
import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any, Final

from PIL import Image

COLOURED: Final = 8
"""Curves of a chart that have a colour and an entry in the legend; the others are grey."""
LARGEST: Final = (1280, 1600)
"""Width and height of an embedded picture in pixels, at most."""
ROOM: Final = 2_000_000
"""Bytes of all embedded pictures together."""
DIGITS: Final = 6
"""Significant digits of a number in a chart."""

Cell = str | float | None


@dataclass(frozen=True)
class Line:
    """A curve of a chart. Shapes: I intervals."""

    name: str
    """Curves of the same name are hidden together."""
    x: Sequence[float]
    """[I]."""
    y: Sequence[float]
    """[I]; not a number where undefined."""
    low: Sequence[float] = ()
    """[I], the lower edge of its band; empty without one."""
    high: Sequence[float] = ()
    """[I], the upper edge."""


@dataclass(frozen=True)
class Chart:
    """Curves over the steps of training."""

    title: str
    lines: Sequence[Line]
    log: bool
    """Whether its scale is logarithmic until the reader changes that."""


@dataclass(frozen=True)
class Axis:
    """A key in parallel coordinates. Shapes: C configurations."""

    name: str
    values: Sequence[str | float]
    """[C], numbers if all of them are."""


@dataclass(frozen=True)
class Section:
    """A heading and the HTML below it."""

    heading: str
    html: str


def sentences(lines: Sequence[str]) -> str:
    """Returns a list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def facts(entries: Mapping[str, str]) -> str:
    """Returns names with their values."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in entries.items())
    return f"<dl>{items}</dl>"


def commands(entries: Mapping[str, str]) -> str:
    """Returns command lines, each with what it does; a click selects the whole command."""
    items = (f"<dt>{escape(what)}</dt><dd><pre>{escape(line)}</pre></dd>" for what, line in entries.items())
    return f'<dl class="commands">{"".join(items)}</dl>'


def folded(summary: str, text: str) -> str:
    """Returns a text that is shown after a click on its summary."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[Cell]], name: str = "") -> str:
    """Returns a table that is sorted by a click on a column's name, and can be filtered.

    Args:
        caption: what it shows.
        header: names of the columns.
        rows: the cells of each row; numbers are rounded to four digits, and sorted by their full value.
        name: an id, by which parallel coordinates find it.
    """
    head = "".join(f'<th scope="col"><button type="button">{escape(text)}</button></th>' for text in header)
    body = "".join(f'<tr data-row="{number}">{"".join(map(_cell, row))}</tr>' for number, row in enumerate(rows))
    return (
        f'<div class="table"{f" id={name}" if name else ""}><label>Filter <input type="search"></label> '
        f'<output>{len(rows)} of {len(rows)} rows</output><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></div>"
    )


def _cell(value: Cell) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "<td></td>"
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    shown = f"{value:.4g}" if isinstance(value, float) else f"{value:,}"
    return f'<td class="number" data-value="{value!r}">{shown}</td>'


def curves(charts: Sequence[Chart]) -> str:
    """Returns charts side by side, with one legend for all of them."""
    content = []
    for chart in charts:
        lines = [
            {key: _numbers(value) if key != "name" else value for key, value in asdict(line).items()}
            for line in chart.lines
        ]
        content.append({"title": chart.title, "log": chart.log, "lines": lines})
    return _drawn("curves", {"charts": content, "coloured": COLOURED})


def parallel(axes: Sequence[Axis], table: str) -> str:
    """Returns parallel coordinates: a line for each configuration, crossing an axis for each key, the score the last.

    Args:
        axes: the keys, and then the score.
        table: the id of a table with the same rows, of which only those are shown that the reader marks.
    """
    return _drawn(
        "parallel", {"axes": [{"name": axis.name, "values": [*axis.values]} for axis in axes], "table": table}
    )


def _drawn(kind: str, content: Mapping[str, Any]) -> str:
    """Returns the data of something that the page's script draws in place."""
    data = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return f'<div class="{kind}"><script type="application/json">{data.replace("<", chr(92) + "u003c")}</script></div>'


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values]


def pictures(paths: Mapping[str, Path]) -> str:
    """Returns PNG files by their captions, embedded and made smaller where they are large.

    Those that cannot be read, or for which there is no room, are named.
    """
    room, shown, left_out = ROOM, [], []
    for caption, path in paths.items():
        try:
            data = _picture(path)
        except (OSError, ValueError):
            left_out.append(f"{path.name} cannot be read")
            continue
        if len(data) > room:
            left_out.append(f"{path.name} is too large for this page")
            continue
        room -= len(data)
        name = escape(caption)
        source = f"data:image/png;base64,{data}"
        shown.append(f'<figure><img src="{source}" alt="{name}"><figcaption>{name}</figcaption></figure>')
    return (f'<div class="pictures">{"".join(shown)}</div>' if shown else "") + sentences(left_out)


def _picture(path: Path) -> str:
    """Returns a PNG file in base64."""
    data = path.read_bytes()
    with Image.open(BytesIO(data)) as image:
        if image.width > LARGEST[0] or image.height > LARGEST[1]:
            small, file = image.convert("RGB"), BytesIO()
            small.thumbnail(LARGEST)
            small.quantize(256).save(file, "PNG", optimize=True)  # few colours, as charts have
            data = file.getvalue()
    return b64encode(data).decode()


def seen_from(directory: str, folder: Path) -> str:
    """Returns a folder as it is typed in the directory where the commands of a report are repeated."""
    there = folder.absolute()
    return str(there.relative_to(directory)) if directory and there.is_relative_to(directory) else str(there)


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Returns the whole page.

    Args:
        title: what it reports on.
        subtitle: how far that has come.
        sections: its parts; those without content are left out.
    """
    here, there = files("fulmen.figures.report"), [section for section in sections if section.html]
    links = (f'<a href="#part-{number}">{escape(part.heading)}</a>' for number, part in enumerate(there))
    parts = (
        f'<section id="part-{number}"><h2>{escape(part.heading)}</h2>{part.html}</section>'
        for number, part in enumerate(there)
    )
    return Template((here / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        links="".join(links),
        sections="\n".join(parts),
        style=(here / "page.css").read_text("utf-8"),
        script=(here / "page.js").read_text("utf-8"),
        plotly=_plotly() if any('class="curves"' in part.html for part in there) else "",
    )


@functools.cache
def _plotly() -> str:
    """Returns Plotly's script, compressed and in base64."""
    script = Path(__file__).with_name("plotly-basic.min.js").read_bytes()
    return b64encode(gzip.compress(script, 6, mtime=0)).decode()
