"""`fulmen report`: what the page of a run and that of a sweep hold, read by an HTML parser."""

import json
import shlex
import shutil
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fulmen
from fulmen.cli.main import main
from fulmen.errors import ConfigurationError
from fulmen.experiment.load import Run
from fulmen.figures.report import page

Train = Callable[..., Run]


class Page(HTMLParser):
    """A page: its tables, headings, texts, pictures and the data of its charts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.headings: list[str] = []
        self.commands: list[str] = []
        self.charts: list[dict[str, Any]] = []
        self.pictures: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self._caption = ""
        self.size = path.stat().st_size
        self.feed(path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attributes)
        if tag == "img":
            assert (given["src"] or "").startswith("data:image/png;base64,")
            self.pictures.append(given["alt"] or "")
        if tag == "tr":
            self.tables[self._caption].append([])
        if tag in ("td", "th"):
            self.tables[self._caption][-1].append("")
        if tag not in ("img", "meta", "input", "br"):
            self._open.append(f"{tag} {given.get('type') or given.get('class') or ''}".strip())

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().split()[0] == tag

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside == "caption":
            self._caption = data
            self.tables[data] = []
        elif inside == "h2":
            self.headings.append(data)
        elif inside == "script application/json":
            self.charts.append(json.loads(data))
        elif "dl commands" in self._open and "pre" in self._open:
            self.commands.append(data)
        elif any(tag.startswith(("td", "th")) for tag in self._open):
            self.tables[self._caption][-1][-1] += data

    def table(self, caption: str) -> list[dict[str, str]]:
        """The rows of the table whose caption begins so."""
        (found,) = [rows for name, rows in self.tables.items() if name.startswith(caption)]
        header, *rows = found
        return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Page]:
    """The page that the command writes of a folder."""

    def write(folder: Path | str, code: int = 0) -> Page:
        monkeypatch.chdir(tmp_path)
        assert main(["report", str(folder)]) == code
        return Page(Path(folder) / "report.html")

    return write


def sweep(*words: str, code: int = 0) -> Path:
    """Runs a sweep of small runs that train as one, and returns its folder."""
    small = ["figures=none", "logger=none", "trainer.max_epochs=2", "data.train_size=32", "accelerator=cpu"]
    assert main(["-m", "hydra/launcher=vectorized", *small, *words]) == code
    (folder,) = Path("logs/sweeps").iterdir()
    return folder


def test_a_run_has_metrics_curves_figures_and_commands(train: Train, written: Callable[..., Page]) -> None:
    run = train("data=circles", "figures=default", "baseline=sklearn", max_epochs=3)
    page = written("run0")
    rows = {row["metric"]: row for row in page.table("Metrics")}
    for name, row in rows.items():
        for split in ("train", "val", "test", "baseline/test"):
            assert float(row[split]) == pytest.approx(run.metrics[f"{split}/{name}"], rel=1e-3)
    history = [line.split(",") for line in (run.folder / "history.csv").read_text().splitlines()]
    (drawn,) = page.charts
    (loss,) = [chart for chart in drawn["charts"] if chart["title"] == "loss"]
    assert {line["name"] for line in loss["lines"]} == {"training", "validation"}
    for line in loss["lines"]:
        column = history[0].index("train/loss" if line["name"] == "training" else "val/loss")
        assert line["y"] == pytest.approx([float(row[column]) for row in history[1:]], rel=1e-5)
        assert line["x"] == [int(row[0]) for row in history[1:]]
    assert set(page.pictures) == {path.stem for path in (run.folder / "figures").glob("*.png")}
    parts = ["How it ended", "Metrics", "Curves", "Figures", "Configuration", "Environment", "Commands"]
    assert page.headings == parts
    (again,) = [shlex.split(line)[1:] for line in page.commands if "rerun=" in line]
    assert main([*again, "run_dir=again"]) == 0
    assert json.loads(Path("again/metrics.json").read_text()) == run.metrics


def test_a_sweep_writes_its_report_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = sweep("seed=range(3)", "optimizer.lr=0.1,0.01", "init=he_normal,xavier_normal")
    assert f"report:      {folder / 'report.html'}\n" in capsys.readouterr().out
    page = Page(folder / "report.html")
    found = json.loads((folder / "leaderboard.json").read_text("utf-8"))
    rows = page.table("Mean val/loss")
    assert [row["optimizer.lr"] for row in rows] == [
        each["settings"]["optimizer.lr"] for each in found["configurations"]
    ]
    for row, each in zip(rows, found["configurations"], strict=True):
        assert [float(row["val/loss"]), float(row["spread"])] == pytest.approx([each["mean"], each["std"]], rel=1e-3)
        assert float(row["95% from"]) == pytest.approx(each["low"], rel=1e-3) and row["seeds"] == "3"
    assert [row["run"] for row in page.table("All runs")] == [run["run"] for run in found["runs"]]
    curves, parallel = page.charts
    assert [chart["title"] for chart in curves["charts"]] == ["val/loss", "train/loss"]
    assert [len(chart["lines"]) for chart in curves["charts"]] == [4, 4]
    line = curves["charts"][0]["lines"][0]
    assert all(low <= mean <= high for low, mean, high in zip(line["low"], line["y"], line["high"], strict=True))
    assert [axis["name"] for axis in parallel["axes"]] == ["optimizer.lr", "init", "val/loss"]
    assert set(parallel["axes"][0]["values"]) == {0.1, 0.01} and parallel["axes"][2]["values"] == pytest.approx(
        [each["mean"] for each in found["configurations"]]
    )
    assert page.pictures == ["leaderboard"]
    again = next(shlex.split(line)[1:] for line in page.commands if "rerun=" in line)
    assert main([*again, "trainer.max_epochs=1"]) == 0, "the command that repeats the best run does"


def test_one_seed_each_has_no_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = Page(sweep("optimizer.lr=0.1,0.01") / "report.html")
    assert page.table("Mean val/loss")[0].keys() == {"optimizer.lr", "val/loss"}


def test_a_report_that_cannot_be_written_costs_a_sweep_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def fail(*_: object) -> str:
        raise RuntimeError("no luck")

    with monkeypatch.context() as broken:
        broken.setattr(page, "_plotly", fail)
        folder = sweep("seed=3")
    assert "the report is missing: RuntimeError: no luck\n" in capsys.readouterr().out
    assert (folder / "leaderboard.json").exists() and not (folder / "report.html").exists()
    assert main(["-m", f"resume={folder}"]) == 0
    assert (folder / "report.html").exists(), "a resumed sweep writes what it lacks"


def test_a_sweep_with_failed_damaged_and_waiting_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Callable[..., Page]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = sweep("seed=range(2)", "optimizer=sgd", "optimizer.lr=0.01,1e30", "data=linear_1d", code=1)
    (folder / "2" / "metrics.json").write_text("{")
    page = written(folder, code=1)
    states = {row["run"]: row["state"] for row in page.table("All runs")}
    assert states == {"0": "completed", "1": "diverged", "2": "damaged", "3": "diverged"}
    assert "Failures" in page.headings and any(line.endswith("retry=diverged") for line in page.commands)
    shutil.rmtree(folder / "2")
    (folder / "2").mkdir()
    (folder / "0" / "status.json").write_text('{"state": "running"}')
    page = written(folder)
    states = {row["run"]: row["state"] for row in page.table("All runs")}
    assert states == {"0": "interrupted", "1": "diverged", "2": "planned", "3": "diverged"}
    assert ["fulmen", "-m", f"resume={folder}"] in map(shlex.split, page.commands)


def test_a_run_that_diverged_and_one_without_figures(train: Train, written: Callable[..., Page]) -> None:
    with pytest.raises(fulmen.errors.Diverged):
        train("data=linear_1d", "optimizer=sgd", "optimizer.lr=1e30", max_epochs=2)
    page = written("run0")
    assert "Figures" not in page.headings and "Metrics" not in page.headings and "details" in page.tags


def test_a_run_that_still_runs(
    train: Train, written: Callable[..., Page], tmp_path: Path, hold: Callable[[Path], None]
) -> None:
    train("data=circles", max_epochs=2)
    status = json.loads((tmp_path / "run0" / "status.json").read_text())
    (tmp_path / "run0" / "status.json").write_text(json.dumps(status | {"state": "running"}))
    (tmp_path / "run0" / "metrics.json").unlink()
    hold(tmp_path / "run0")
    page = written("run0")
    assert "the run has not ended" in (tmp_path / "run0" / "report.html").read_text("utf-8")
    assert "Metrics" not in page.headings and "Curves" in page.headings


def test_names_stay_text(train: Train, written: Callable[..., Page], tmp_path: Path) -> None:
    train("data=circles", max_epochs=1)
    evil = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"
    status = json.loads((tmp_path / "run0" / "status.json").read_text())
    status |= {"overrides": [evil], "error": evil, "traceback": evil, "host": evil, "directory": f"/{evil}"}
    (tmp_path / "run0" / "status.json").write_text(json.dumps(status))
    history = tmp_path / "run0" / "history.csv"
    history.write_text(history.read_text().replace("val/f1", f"val/{evil}"))
    (tmp_path / "run0" / "figures").mkdir()
    Image.new("RGB", (3000, 100)).save(tmp_path / "run0" / "figures" / "a&amp;b.png")
    (tmp_path / "run0" / "figures" / "broken.png").write_bytes(b"")
    page = written("run0")
    assert page.pictures == ["a&amp;b"] and page.tags.count("img") == 1
    assert page.tags.count("script") == 3, "the charts' data, Plotly's script, and ours"
    assert [chart["title"] for chart in page.charts[0]["charts"]].count(evil.rpartition("/")[2]) == 1
    assert evil in shlex.split(page.commands[0])


def test_figures_leave_room_for_the_rest(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in "abcd":  # of noise, which cannot be compressed
        Image.fromarray(random.integers(0, 256, (700, 500, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    text = page.pictures({path.stem: path for path in sorted(tmp_path.iterdir())})
    assert len(text) < 2.1e6 and text.count("<img") == 1 and "d.png is too large for this page" in text


def test_a_page_on_200_configurations_is_small_and_quickly_written(tmp_path: Path) -> None:
    steps = [float(step) for step in range(100)]
    lines = [page.Line(f"configuration {place}", steps, steps, steps, steps) for place in range(50)]
    charts = page.curves([page.Chart(name, lines, False) for name in ("val/loss", "train/loss", "val/accuracy")])
    rows: list[list[page.Cell]] = [[place, "adam", *([0.123456789] * 20)] for place in range(1000)]
    began = time.process_time()
    table = page.table("Runs", ["run", "optimizer", *map(str, range(20))], rows)
    text = page.page("Sweep", "done", [page.Section("Curves", charts), page.Section("Runs", table)])
    assert len(text) < 5e6 and time.process_time() - began < 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "report needs the folder of one run or sweep, and none was given; write fulmen report FOLDER"),
        (["a", "b"], "report needs the folder of one run or sweep, and 2 were given"),
        (["nowhere"], "there is no folder nowhere"),
        (["."], "there is no run in ."),
        ([".", "outptu=a.html"], "there is no option outptu=; did you mean output"),
        ([".", "--open"], "there is no option --open"),
        ([".", "output=a.pdf"], "output=a.pdf must end in .html"),
        ([".", "output=no/a.html"], "output=no/a.html cannot be written: no is not a folder"),
    ],
)
def test_a_wrong_word_gets_a_sentence(words: list[str], sentence: str, refused: Callable[..., str]) -> None:
    assert sentence in refused("report", *words)


def test_a_folder_of_runs_or_sweeps_is_not_said_to_hold_none(tmp_path: Path, refused: Callable[..., str]) -> None:
    for name in ("runs/a", "runs/b", "sweeps/c/0"):
        (tmp_path / name).mkdir(parents=True)
        for file in ("config.yaml", "status.json"):
            (tmp_path / name / file).write_text("{}")
    (tmp_path / "sweeps/c/sweep.yaml").write_text("{}")
    runs, sweeps = tmp_path / "runs", tmp_path / "sweeps"
    for folder, what, last in ((runs, "runs", "b"), (sweeps, "sweeps", "c")):
        said = refused("report", str(folder))
        assert f"{folder} holds {what}, but is not one itself; name one of them, such as {folder / last}" in said
    assert "status.json is a file; name the folder of a run" in refused("report", f"{runs}/a/status.json")
    with pytest.raises(ConfigurationError, match="runs holds runs, but is not one itself"):
        fulmen.load_sweep(runs)
