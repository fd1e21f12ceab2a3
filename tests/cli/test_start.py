"""What is imported before anything is said or trained: it is what one waits for."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from fulmen.experiment.importing import at_once

READING = {"yaml"}
COMPOSING = {*READING, "hydra", "hydra_plugins", "omegaconf", "antlr4", "attr", "packaging"}
"""Hydra imports every plugin that is installed, whatever it is for; what those import would show here."""
CHECKING = {*COMPOSING, "numpy", "filelock"}
PLANNING = {*CHECKING, "rich"}
LOOKING = {*READING, "numpy", "filelock", "rich"}

MAY_IMPORT = {
    ("--help",): READING,
    ("--version",): set[str](),
    ("-sc", "query=bash"): COMPOSING,
    ("--cfg", "job", "model=deep"): COMPOSING,
    ("model=depe",): CHECKING,
    ("optimizer.lr=-1",): CHECKING,
    ("data=table", "data.path=none.csv", "data.target=a"): CHECKING,
    ("resume=none",): CHECKING,
    ("-m", "seed=0,a"): PLANNING,
    ("evaluate", "--help"): CHECKING,
    ("evaluate", "x", "--split=1"): CHECKING,
    ("predict", "--help"): CHECKING,
    ("export", "--help"): CHECKING,
    ("compare", "--help"): LOOKING,
    ("clean", "--help"): LOOKING,
}
"""Other people's packages that a command line may import."""
LIGHTNING = {
    *("PIL", "charset_normalizer", "colorama", "cycler", "dateutil", "fontTools", "fsspec", "kiwisolver", "lightning"),
    *("lightning_utilities", "matplotlib", "mpl_toolkits", "mpmath", "pyparsing", "scipy", "six", "sympy", "torch"),
    *("torchgen", "torchmetrics", "typing_extensions"),
}
"""What `import lightning.pytorch` imports; listed here, because to see it takes a process seconds."""
RUN = {*PLANNING, *LIGHTNING, "tqdm"}
TENSORBOARD = {"tensorboard", "google", "absl", "fsspec"}
"""And a run that has a dashboard."""
S3 = {"boto3", "botocore", "s3transfer", "jmespath", "urllib3", "certifi", "brotli"}
"""TensorBoard can write to S3, so it imports these wherever they are installed: by the extras ray and trackio."""

HEAVY = {"torch", "lightning", "sklearn", "pandas", "matplotlib", "scipy", "tensorboard"}


def imported(cwd: Path, *codes: str) -> list[set[str]]:
    """The modules that each of some lines of code imports, all in one process."""
    report = "print('imported', *sorted(set(sys.modules) - before), file=sys.stderr); before = set(sys.modules)"
    whole = "\n".join(["import sys; before = set(sys.modules)", *(f"{code}\n{report}" for code in codes)])
    done = subprocess.run([sys.executable, "-c", whole], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    return [set(line.split()[1:]) for line in done.stderr.splitlines() if line.startswith("imported")]


def command(*words: str) -> str:
    return f"from fulmen.cli.main import main; main({list(words)})"


def packages(modules: set[str]) -> set[str]:
    """Whose they are, but for what compiled modules make in memory."""
    names = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"fulmen", "cython_runtime"}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("chain", [(READING, COMPOSING, CHECKING, PLANNING), (LOOKING,)], ids=["Hydra", "looking"])
def test_words_import_what_they_need(
    chain: tuple[set[str], ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process, because each may import all that those before it may."""
    monkeypatch.setenv("COMP_LINE", "fulmen optimizer.l")
    monkeypatch.setenv("COMP_POINT", "18")
    lines = [words for allowed in (set[str](), *chain) for words in MAY_IMPORT if MAY_IMPORT[words] == allowed]
    for words, modules in zip(lines, imported(tmp_path, *(command(*words) for words in lines)), strict=True):
        assert packages(modules) <= MAY_IMPORT[words], words


def test_a_sweep_is_planned_without_torch(tmp_path: Path) -> None:
    words = ["data=circles,mnist_5k", "baseline=sklearn", "logger=tensorboard", "figures=all"]
    plan = f"from fulmen.sweeps.grid import grid, records; assert len([*records(grid({words}, None).jobs, None)]) == 2"
    (modules,) = imported(tmp_path, plan)
    assert packages(modules) <= PLANNING


LARGE = ("torch", "lightning.pytorch", "sklearn.datasets")
WATCH = f"""
import gc
begun, seen = (lambda name: name in sys.modules and sys.modules[name].__spec__._initializing), []
gc.callbacks.append(lambda *_: seen.extend(filter(begun, {LARGE})))
"""
"""Notes what is being imported whenever garbage is looked for."""


PEAKS = "import scipy.signal; assert scipy.signal.find_peaks([0, 1, 0])[0].tolist() == [1]"


def test_a_run_imports_what_it_needs_and_looking_at_it_no_torch(tmp_path: Path) -> None:
    words, plain = ["trainer.max_steps=1", "accelerator=cpu"], ["logger=none", "figures=none"]
    _, lean, signal, default, circles, _ = imported(
        tmp_path,
        WATCH,
        command(*words, *plain, "run_dir=lean"),
        PEAKS,
        command(*words, "run_dir=default"),
        command(*words, *plain, "data=circles"),
        "assert not seen, seen",
    )
    assert packages(lean) <= RUN
    assert "torch._inductor.compile_fx" not in lean, "only trainer.compile needs a compiler"
    assert "scipy.signal._signaltools" not in lean
    assert "scipy.signal._signaltools" in signal, "it is only put off"
    assert not [name for name in lean if name.startswith(("fulmen.figures.plots", "fulmen.figures.draw"))]
    assert packages(default) <= RUN | TENSORBOARD | S3
    on_demand = {"layer_statistics", "inside", "landscape", "calibration", "importance"}
    assert not [name for name in default if name.startswith("fulmen.") and name.rpartition(".")[2] in on_demand]
    assert "sklearn" in packages(circles)
    assert (tmp_path / "default" / "figures" / "curves.png").exists()

    (tmp_path / "rows.csv").write_text("x1,x2\n0.5,0.3\n")
    looking = (["compare", "lean", "default"], ["clean", ".", "remove=last"], ["predict", "lean", "input=rows.csv"])
    compare, clean, predict = imported(tmp_path, *(command(*words) for words in looking))
    assert packages(compare) & HEAVY == {"matplotlib"} and not packages(clean) & HEAVY
    assert packages(predict) & {"torch", "lightning"} == {"torch"}, "only training needs the other, which takes seconds"
    assert (tmp_path / "compare.png").exists() and not (tmp_path / "lean" / "checkpoints" / "last.ckpt").exists()


def test_what_needs_scipy_signal_while_others_are_imported_has_it(tmp_path: Path) -> None:
    code = """
with at_once():
    import scipy.signal as torchmetrics_finds_it
    assert torchmetrics_finds_it.hamming is None and "scipy.signal._signaltools" not in sys.modules
    from scipy.signal import find_peaks
"""
    _, found = imported(tmp_path, "from fulmen.experiment.importing import at_once", code + PEAKS)
    assert "scipy.signal._signaltools" in found


def test_the_collector_is_left_as_it_was() -> None:
    with at_once():
        assert not gc.isenabled()
    assert gc.isenabled()
    with at_once():
        with at_once():
            pass
        assert not gc.isenabled()
    with pytest.raises(KeyError), at_once():
        raise KeyError
    assert gc.isenabled()


def test_what_a_host_program_has_frozen_stays_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.freeze()
    try:
        with at_once():
            monkeypatch.setitem(sys.modules, "imported_anew", sys)
        assert gc.get_freeze_count() > 0  # fewer than before: what is no longer used goes all the same
    finally:
        gc.unfreeze()
    monkeypatch.delitem(sys.modules, "imported_anew")
    with at_once():
        monkeypatch.setitem(sys.modules, "imported_anew", sys)
    assert gc.get_freeze_count() == 0
