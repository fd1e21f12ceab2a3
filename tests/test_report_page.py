"""What a person sees in a report: the page of a sweep of 80 runs, in a real browser, with no request to a network."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from fulmen.cli.main import main
from fulmen.figures.report import page as report
from fulmen.sweeps import record

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; on Debian: apt-get install chromium"),
]
EVIL = "</script><script>document.title=1</script><img src=x onerror=document.title=2>"
RATES = ["0.0003", "0.002", "0.01", "0.1", "1e-5", "2e-4", "0.05", "0.5", "3e-5", "0.02"]
WORDS = [
    "hydra/launcher=vectorized",
    "figures=none",
    "logger=none",
    "trainer.max_epochs=3",
    "data.train_size=32",
    "accelerator=cpu",
    f"optimizer.lr={','.join(RATES)}",
    "init=xavier_normal,he_normal",
    "seed=range(4)",
]
FAULTS: list[str] = []
"""Addresses that the pages asked for, and what their consoles show."""
PATIENCE = 60_000
"""Milliseconds that a page may take to be drawn, on a machine that is busy with other tests."""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep of 20 configurations with 4 seeds each, half of which have a name that is HTML."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("report"))
        assert main(["-m", *WORDS]) == 0
        (folder,) = Path("logs/sweeps").resolve().iterdir()
        plan = record.read(folder)
        grid = [[word.replace("he_normal", EVIL) for word in words] for words in plan.grid]
        record.rewrite(replace(plan, grid=grid, varying=plan.varying | {"init": ["xavier_normal", EVIL]}), folder)
        assert main(["report", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(sweep: Path, browser: Browser) -> Page:
    """The page, as soon as its charts are drawn."""
    page, address = browser.new_page(), (sweep / "report.html").as_uri()
    page.set_default_timeout(PATIENCE)
    page.on("request", lambda request: FAULTS.append(request.url) if request.url != address else None)
    page.on("console", lambda message: FAULTS.append(message.text))
    page.on("pageerror", lambda error: FAULTS.append(str(error)))
    page.goto(address)
    page.wait_for_selector("html[data-drawn]", state="attached")
    return page


@pytest.fixture(autouse=True)
def faultless() -> Iterator[None]:
    """Fails a test whose page asks for anything, or in which anything goes wrong."""
    FAULTS.clear()
    yield
    assert not FAULTS


def column(table: Locator, name: str) -> list[str]:
    """The cells below a name, of the rows that are shown, from top to bottom."""
    names = table.locator("th").all_inner_texts()
    cells = table.locator(f"tbody tr:visible td:nth-child({1 + names.index(name)})")
    return [str(text) for text in cells.all_inner_texts()]


def test_a_click_on_a_column_sorts_by_numbers(page: Page) -> None:
    for number, name in ((0, "optimizer.lr"), (0, "val/loss"), (1, "run"), (1, "test/accuracy")):
        table = page.locator(".table").nth(number)
        header = table.get_by_role("columnheader", name=name, exact=True)
        before = [float(text) for text in column(table, name)]
        for direction, order in ("ascending", sorted(before)), ("descending", sorted(before, reverse=True)):
            header.get_by_role("button").click()
            expect(header).to_have_attribute("aria-sort", direction)
            assert [float(text) for text in column(table, name)] == order
        assert table.locator("th[aria-sort]").count() == 1


def test_numbers_among_words_are_sorted_as_numbers(browser: Browser, tmp_path: Path) -> None:
    """As of trainer.gradient_clip=null,1e-5,0.001,10, in a table and along an axis, in the order of the scores."""
    values = ["0.001", "null", "10", "1e-5", "2"]
    html = report.table("Clipped", ["clip", "run"], [[value, run] for run, value in enumerate(values)])
    axes = [report.Axis("clip", values), report.Axis("loss", [0.1, 0.2, 0.3, 0.4, 0.5])]
    sections = [report.Section("Table", html), report.Section("Axes", report.parallel(axes, ""))]
    file = tmp_path / "page.html"
    file.write_text(report.page("Title", "", sections), "utf-8")
    shown = browser.new_page()
    shown.goto(file.as_uri())
    shown.get_by_role("button", name="clip").click()
    assert column(shown.locator(".table"), "clip") == ["1e-5", "0.001", "2", "10", "null"]
    marks = shown.locator(".parallel svg text").all_text_contents()
    assert [text for text in marks if text in values] == ["1e-5", "0.001", "2", "10", "null"]


def test_letters_filter_the_rows(page: Page) -> None:
    table = page.locator(".table").nth(1)
    assert len(column(table, "run")) == 80
    table.get_by_role("searchbox").fill("completed XAVIER")
    assert set(column(table, "init")) == {"xavier_normal"} and len(column(table, "run")) == 40
    expect(table.locator("output")).to_have_text("40 of 80 rows")
    table.get_by_role("searchbox").fill("")
    assert len(column(table, "run")) == 80


def shown(page: Page) -> list[int]:
    """How many curves each chart has that are neither an edge of a band nor the others, which are grey."""
    count = "all => all.map(one => one.data.filter(trace => trace.hovertemplate && trace.visible).length)"
    return [int(number) for number in page.locator(".plot").evaluate_all(count)]


def test_a_click_in_the_legend_hides_a_curve_in_all_charts(page: Page) -> None:
    keys = page.get_by_role("group", name="Curves that are shown").get_by_role("button")
    expect(keys).to_have_count(9)
    expect(keys.last).to_have_text("12 others")
    drawn = page.locator(".plot").first.locator(".scatterlayer path.js-line")
    before = drawn.count()
    assert shown(page) == [8, 8]
    keys.nth(2).click()
    expect(keys.nth(2)).to_have_attribute("aria-pressed", "false")
    assert shown(page) == [7, 7] and drawn.count() < before
    keys.nth(2).click()
    assert shown(page) == [8, 8] and drawn.count() == before
    keys.last.click()
    assert drawn.count() == before - 12
    keys.last.click()


def test_the_pointer_shows_the_values_of_a_step(page: Page, sweep: Path) -> None:
    plot = page.locator(".plot").first
    plot.scroll_into_view_if_needed()
    plot.locator(".nsewdrag").hover()
    best = json.loads((sweep / "leaderboard.json").read_text("utf-8"))["configurations"][0]["settings"]
    expect(plot.locator(".hoverlayer")).to_contain_text(f"optimizer.lr={best['optimizer.lr']}")
    expect(plot.locator(".hoverlayer")).to_contain_text(" to ")


def test_a_scale_is_changed_by_a_click(page: Page) -> None:
    button = page.get_by_role("button", name="log scale").first
    kind = "all => all[0]._fullLayout.yaxis.type"
    before = page.locator(".plot").evaluate_all(kind)
    button.click()
    assert {before, page.locator(".plot").evaluate_all(kind)} == {"linear", "log"}


def test_a_range_of_an_axis_is_marked(page: Page) -> None:
    table, grip = page.locator(".table").first, page.locator(".parallel .grip").first
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    assert box is not None
    x, top, height = box["x"] + box["width"] / 2, box["y"], box["height"]
    page.mouse.move(x, top)
    page.mouse.down()
    page.mouse.move(x, top + 0.4 * height, steps=3)
    page.mouse.up()
    inside = [float(text) for text in column(table, "optimizer.lr")]
    assert sorted(set(inside)) == [0.02, 0.05, 0.1, 0.5] and len(inside) == 8
    assert page.locator(".parallel path.out").count() == 12
    page.mouse.click(x, top + 0.5 * height)
    assert len(column(table, "optimizer.lr")) == 20 and page.locator(".parallel path.out").count() == 0


CONTRAST = """all => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = colour => rgb(colour).slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (rgb(colour)[3] > 0) return colour;
    }
  };
  return all.filter(element => element.checkVisibility()).map(element => {
    const style = getComputedStyle(element), drawn = element instanceof SVGElement;
    const colour = !drawn ? style.color : element.tagName === "path" ? style.stroke : style.fill;
    const [low, high] = [light(colour), light(ground(element))].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  });
}"""
TEXTS = "h1, h2, header p, a, li, td, th button, caption, output, summary, dt, dd, .legend button, figcaption, text"


def test_all_is_readable_and_charts_follow_the_theme_and_print_in_light_colours(page: Page) -> None:
    """Contrast as WCAG 2.2 has it: 4.5 for texts, 3 for what is drawn."""
    colours = "all => all.map(text => getComputedStyle(text).fill)"
    ticks = page.locator(".xtick text")
    light = ticks.evaluate_all(colours)
    for scheme in ("light", "dark"):
        if scheme == "dark":
            page.emulate_media(color_scheme="dark")
            page.wait_for_function(
                "light => getComputedStyle(document.querySelector('.xtick text')).fill !== light", arg=light[0]
            )
        texts = page.locator(TEXTS).evaluate_all(CONTRAST)
        assert len(texts) > 1000 and min(texts) >= 4.5, scheme
        curves = page.locator(".scatterlayer path.js-line[style*='stroke-width: 2px']").evaluate_all(CONTRAST)
        assert len(curves) == 16 and min(curves) >= 3, scheme
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(color_scheme="dark", media="print")
    assert set(ticks.evaluate_all(colours)) == set(light)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(color_scheme="light", media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")


def test_a_phone_shows_all_of_it(page: Page) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    page.context.new_cdp_session(page).send("Emulation.setDeviceMetricsOverride", phone)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.wait_for_function("() => [...document.querySelectorAll('.plot')].every(plot => plot._fullLayout.width < 360)")
    assert min(page.locator(".plot").evaluate_all("all => all.map(plot => plot._fullLayout.width)")) > 300


def test_names_do_nothing_and_the_file_is_small(page: Page, sweep: Path) -> None:
    assert page.title() == f"Sweep {sweep.name}"
    assert page.locator("img[src=x]").count() == 0
    assert EVIL in column(page.locator(".table").first, "init")
    assert (sweep / "report.html").stat().st_size < 5e6


def test_the_page_may_ask_nothing_of_a_network(page: Page) -> None:
    page.evaluate("fetch('https://localhost:9/').catch(() => null)")
    assert FAULTS and all("Content Security Policy" in fault for fault in FAULTS)
    FAULTS.clear()
