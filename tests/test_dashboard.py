"""What a person sees in TensorBoard: its panels in a real browser, of a sweep that was trained for it."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from fulmen.cli.main import main

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; on Debian: apt-get install chromium"),
]
WORDS = ("data=circles", "model=mlp", "seed=10,2", "trainer.max_epochs=4", "accelerator=cpu")
FIGURES = ("figures=none", "figures.curves=true")
NAMES = ["0/tensorboard/seed=10", "1/tensorboard/seed=2"]
PATIENCE = 30
"""Seconds that a panel may take to fill, on a machine that is busy with other tests."""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep of two runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("dashboard"))
        assert main(["-m", *WORDS, *FIGURES]) == 0
        (folder,) = Path("logs/sweeps").resolve().iterdir()
    return folder


@pytest.fixture(scope="module")
def address(sweep: Path) -> Iterator[str]:
    """Where a TensorBoard shows the sweep; it chooses a free port and says which."""
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", str(sweep), "--port", "0", "--host", "127.0.0.1"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        yield next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))
        server.terminate()


@pytest.fixture(scope="module")
def window(address: str) -> Iterator[Callable[[str], Page]]:
    """Opens a panel in a browser, in a window that is large enough for all columns of a table."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 2000, "height": 1000})
        page.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)

        def show(panel: str) -> Page:
            page.goto(f"{address}#{panel}")
            return page

        yield show
        browser.close()


def soon(look: Callable[[], object], wanted: object) -> None:
    """Looks until it sees what is wanted."""
    end = time.monotonic() + PATIENCE
    while (seen := look()) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    assert seen == wanted


def curves(chart: Locator) -> int:
    """How many curves are drawn in a chart; TensorBoard draws each as it is and smoothed."""
    drawn = chart.locator("path.line").evaluate_all("lines => lines.filter(line => line.getTotalLength() > 9).length")
    return int(drawn) // 2


def test_scalars_have_a_curve_of_each_run_by_its_name(window: Callable[[str], Page]) -> None:
    page = window("scalars&tagFilter=^val/loss$")
    soon(lambda: curves(page.locator("tf-scalar-card").first), 2)
    for name in NAMES:
        expect(page.get_by_text(name).first).to_be_visible()


def test_custom_scalars_have_train_and_validation_in_one_chart(window: Callable[[str], Page]) -> None:
    charts = window("custom_scalars").locator("tf-custom-scalar-multi-line-chart-card")
    expect(charts).to_have_count(5)
    assert charts.evaluate_all("all => all.map(one => one.title)") == ["loss", "accuracy", "f1", "auroc", "lr"]
    soon(lambda: [curves(charts.nth(place)) for place in range(5)], [4, 2, 2, 2, 2])


def test_images_are_the_figures(window: Callable[[str], Page]) -> None:
    images = window("images").locator("tf-image-loader img")
    expect(images).to_have_count(2)
    sizes = "all => all.map(image => [image.naturalWidth, image.naturalHeight])"
    soon(lambda: images.evaluate_all(sizes), [[640, 480]] * 2)


def table(page: Page) -> list[dict[str, str]]:
    """HParams' rows from top to bottom."""
    box = "cell => [cell.getBoundingClientRect(), cell.innerText.trim()]"
    cells = page.locator("vaadin-grid-cell-content:visible").evaluate_all(f"all => all.map({box})")
    lines: dict[int, list[str]] = defaultdict(list)
    for place, text in sorted(cells, key=lambda cell: cell[0]["x"]):
        lines[round(place["y"] + place["height"] / 2)].append(text)
    header, *rows = (lines[y] for y in sorted(lines))
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_hparams_have_a_row_of_each_run_with_its_final_figures(window: Callable[[str], Page], sweep: Path) -> None:
    page = window("hparams")
    page.locator("vaadin-grid").wait_for()
    soon(lambda: [row["Trial ID"] for row in table(page)], NAMES)
    for number, row in enumerate(table(page)):
        metrics = json.loads((sweep / str(number) / "metrics.json").read_text("utf-8"))
        for name in ("test/loss", "test/accuracy"):
            assert float(row[f"final/{name}"]) == pytest.approx(metrics[name], rel=1e-3)
    header = [*table(page)[0]]
    assert header[2:4] == ["seed", "final score/val/loss"] and "model" not in header


def test_hparams_sort_by_a_column_as_numbers(window: Callable[[str], Page]) -> None:
    page = window("hparams")
    page.locator("vaadin-grid").wait_for()
    soon(lambda: len(table(page)), 2)
    rising = {column: sorted(float(row[column]) for row in table(page)) for column in ("seed", "final/test/loss")}
    assert all(len(set(values)) == 2 for values in rising.values())

    def choose(menu: str, item: str) -> None:
        page.locator(f"paper-dropdown-menu[label='{menu}']").click()
        page.locator("paper-item:visible").get_by_text(item, exact=True).click()

    def values(column: str) -> list[float]:
        return [float(row[column]) for row in table(page)]

    choose("Sort by", "seed")
    choose("Direction", "Ascending")
    soon(lambda: values("seed"), rising["seed"])
    choose("Direction", "Descending")
    soon(lambda: values("seed"), rising["seed"][::-1])
    choose("Sort by", "final/test/loss")
    soon(lambda: values("final/test/loss"), rising["final/test/loss"][::-1])
    choose("Direction", "Ascending")
    soon(lambda: values("final/test/loss"), rising["final/test/loss"])


def test_the_graph_opens_down_to_the_layers(window: Callable[[str], Page]) -> None:
    nodes = window("graphs").locator("g.node")
    for name in ("MLP", "Sequential[layers]"):
        nodes.filter(has_text=name).last.dblclick()
    for layer in ("Linear[0]", "ReLU[1]"):
        expect(nodes.filter(has_text=layer).last).to_be_visible()
