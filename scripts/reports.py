"""Measures how large reports are and how soon they are drawn, and writes docs/reports.md with two pictures.

Trains a sweep of 200 runs and one run in a folder that is deleted afterwards, and opens their reports in Chromium,
which the system must have. Opening times mean something on a quiet machine only; processor time is less affected.
"""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

DOCS = Path(__file__).resolve().parents[1] / "docs"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWEEP = (
    *("-m", "hydra/launcher=vectorized", "data=circles", "model=mlp", "figures=none", "trainer.max_epochs=30"),
    *("optimizer.lr=0.001,0.003,0.01,0.03,0.1", "init=he_normal,xavier_normal,orthogonal,default", "seed=range(10)"),
)
RUN = ("data=iris_species", "model=mlp", "figures=all", "baseline=sklearn", "accelerator=cpu")
TIMES = 5
"""How often each page is opened; the median counts."""
SIZE = (1200, 1500)
"""Width and height of the pictures in dots."""


class Opened(NamedTuple):
    """How a page opens."""

    megabytes: float
    """Its size, in 10^6 bytes."""
    readable: float
    """Seconds until all but the curves is there and can be used."""
    seconds: float
    """From the request until all charts are drawn."""
    computing: float
    """Processor seconds of the page's main thread until then."""


def main() -> None:
    """Trains, measures and photographs."""
    with tempfile.TemporaryDirectory() as place:
        fulmen = [sys.executable, "-m", "fulmen.cli.main"]
        subprocess.run([*fulmen, *SWEEP], cwd=place, check=True)
        subprocess.run([*fulmen, *RUN], cwd=place, check=True)
        (sweep,), (run,) = (list(Path(place, "logs", kind).iterdir()) for kind in ("sweeps", "runs"))
        subprocess.run([*fulmen, "report", str(run)], cwd=place, check=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            found = {
                "a sweep of 200 runs": measure(browser, sweep / "report.html"),
                "one run, all figures": measure(browser, run / "report.html"),
            }
            for scheme in ("light", "dark"):
                photograph(browser, sweep / "report.html", scheme)
            text = document(found, browser.version)
            browser.close()
    print(text)
    (DOCS / "reports.md").write_text(text, "utf-8")


def _open(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached", timeout=120_000)


def measure(browser: Browser, report: Path) -> Opened:
    """Opens a page several times, each time in a window without a cache."""
    times: dict[str, list[float]] = {"readable": [], "drawn": []}
    computing: list[float] = []
    for _ in range(TIMES):
        context = browser.new_context()
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        _open(page, report)
        for name, found in times.items():
            found.append(page.evaluate(f"Number(document.documentElement.dataset.{name})") / 1000)
        metrics = session.send("Performance.getMetrics")["metrics"]
        computing.append(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))
        context.close()
    return Opened(report.stat().st_size / 1e6, *map(statistics.median, (*times.values(), computing)))


def photograph(browser: Browser, report: Path, scheme: str) -> None:
    """Saves what the page looks like from its top."""
    page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
    _open(page, report)
    picture = DOCS / "pictures" / f"report_{scheme}.png"
    page.screenshot(path=picture)
    Image.open(picture).convert("RGB").quantize(256).save(picture, optimize=True)  # a third of the size
    page.close()


def document(found: dict[str, Opened], chromium: str) -> str:
    """Returns docs/reports.md."""
    rows = "\n".join(
        f"| {name} | {each.megabytes:.1f} MB | {each.readable:.1f} s | {each.seconds:.1f} s | {each.computing:.1f} s |"
        for name, each in found.items()
    )
    machine = f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()})"
    load = f", which had a load of {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"""\
# Reports

A sweep ends with `report.html` in its folder: one file that opens in any browser, without a network, and that you can
pass on. For a run, or for a sweep that is still running, `fulmen report FOLDER` writes it; `output=FILE` names another
place.

```sh
fulmen report logs/runs/2026-11-22_11-12-41_ad4e22
```

![The report of a sweep of 200 runs in light colours: verdict, configurations, curves](pictures/report_light.png)

The page of a sweep shows the verdict; a table of the configurations, and one of all runs; the curves of the eight best
configurations with bands over their seeds, others in grey; parallel coordinates, if two keys or more vary; each run
that failed, with its cause; the figures, the configuration and the environment; and the commands that repeat it. The
page of a run shows how it ended, its metrics, its curves, and the same parts at its end.

- A click on a column's name sorts a table; words in *Filter* leave the rows that hold all of them.
- The pointer shows the values at a step. A click in the legend hides a curve in all charts. Drag in a chart to enlarge
  a part of it; a double click shows all of it again.
- Drag along an axis of the parallel coordinates to mark a range: only its configurations are shown, in the table too.

It follows the browser's theme, fits a phone, and prints in light colours:

![The same report in dark colours](pictures/report_dark.png)

The page may ask nothing of a network; a Content-Security-Policy in the file forbids it, and names of your own are
shown as text. Most of the file is the script of Plotly, which draws the curves; running it takes most of the time
until they are there. Embedded figures take 2 MB at most; large ones are made smaller, and those for which there is no
room are named.

Measured by `python scripts/reports.py`, which writes this page, on {datetime.now(UTC):%Y-%m-%d}, on {machine}{load},
with Chromium {chromium} and Python {platform.python_version()}; the median of {TIMES}:

| report of | size | readable | curves are drawn | of that, computing |
| --- | --- | --- | --- | --- |
{rows}
"""


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(f"reports: {sys.argv[1]} is one word too many; it takes none")
    main()
