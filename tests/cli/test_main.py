"""The command: its help, its exit codes, and code of the user's own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import fulmen
from fulmen.cli.main import main
from fulmen.config.groups import choices, conf_dir, groups
from fulmen.runs.signals import Interrupted, raising

ROOT = Path(__file__).parents[2]


def test_help_lists_every_choice_of_every_group_with_a_line_about_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.replace("  * ", "    ").splitlines()]
    for group in groups([conf_dir()]):
        assert [group] in lines
        for choice in choices(group, [conf_dir()]):
            assert any(line[0] == choice and len(line) == 2 for line in lines if line), f"{group}={choice}"


def test_help_marks_the_defaults_and_lists_keys(capsys: pytest.CaptureFixture[str]) -> None:
    main(["-h"])
    said = capsys.readouterr().out
    assert "* sine_boundary" in said and "* shallow" in said
    for key in ("seed: 0", "trainer.max_epochs", "trainer.precision"):
        assert key in said


def test_help_begins_with_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    said = capsys.readouterr().out
    commands = re.findall(r"^  (\w+) {2,}\w", said.partition("\ncommands ")[2].partition("\n\n")[0], re.MULTILINE)
    assert commands[:4] == ["train", "sweep", "resume", "rerun"] and "clean" in commands
    assert said.index("\ncommands ") < said.index("\ngroups ") < said.index("\nkeys")
    for command in commands:
        assert main(["help", command]) == 0 and f"usage: fulmen {command}" in capsys.readouterr().out, command
        assert main([command, "--help"]) == 0 and f"usage: fulmen {command}" in capsys.readouterr().out, command


def test_help_on_a_group_shows_its_choices_and_the_keys_of_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "optimizer"]) == 0
    said = capsys.readouterr().out
    assert "  * adam " in said and "    lbfgs " in said
    assert re.search(r"^ +optimizer.lr: 0.01 +a number in \(0, inf\)$", said, re.MULTILINE)


@pytest.mark.parametrize("typed", ["lbfgs", "optimizer=lbfgs"])
def test_help_on_a_choice_shows_its_keys_with_defaults_and_values(
    typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["help", typed]) == 0
    said = capsys.readouterr().out
    for key, value in fulmen.compose(["optimizer=lbfgs"]).optimizer.items():
        if not str(key).startswith("_"):
            shown = re.search(rf"^ +optimizer.{key}: (\S+) +(a|one)\b", said, re.MULTILINE)
            assert shown is not None and str(yaml.safe_load(shown[1])) == str(value), key
    assert "optimizer.betas" not in said


@pytest.mark.parametrize("group", [group for group in groups([conf_dir()]) if group not in ("experiment", "sweep")])
def test_help_shows_every_key_of_every_choice(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    for choice, path in choices(group, [conf_dir()]).items():
        assert main(["help", f"{group}={choice}"]) == 0
        said = capsys.readouterr().out
        for key in yaml.safe_load(path.read_text()) or ():
            assert key.startswith("_") or key == "defaults" or f".{key}: " in said, f"{group}={choice}: {key}"


def test_help_on_a_name_in_several_groups_explains_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "none"]) == 0
    said = capsys.readouterr().out
    assert all(f"{group}=none: " in said for group in ("baseline", "figures", "logger", "penalty"))
    assert main(["help", "mnist_mlp", "sweep"]) == 0
    said = capsys.readouterr().out
    assert "override /model: mlp" in said and "usage: fulmen sweep" in said and "    seeds " in said
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text("# Mine\ndefaults:\n  - adam\nlr: 7.0 # per step\nown: 2\n")
    assert main(["--config-dir", str(tmp_path), "help", "mine"]) == 0
    said = capsys.readouterr().out
    assert "optimizer=mine: Mine" in said and "optimizer.betas: [0.9, 0.999] " in said and "optimizer.own: 2" in said
    assert re.search(r"optimizer.lr: 7.0 +a number in \(0, inf\); per step", said)


def test_commands_of_training_are_words_for_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["trainer.max_epochs=1", "figures=none", "logger=none", "accelerator=cpu"]
    assert main(["train", *words, "run_dir=run"]) == 0
    assert main(["resume", "run", "trainer.max_epochs=2"]) == 0
    assert json.loads(Path("run/status.json").read_text())["steps"] == 64, "2 passes of 1,000 rows, by 32"
    assert main(["rerun", "run", "run_dir=again"]) == 0
    assert Path("run/metrics.json").read_bytes() == Path("again/metrics.json").read_bytes()
    assert main(["sweep", *words, "seed=0,1"]) == 0
    (sweep,) = Path("logs/sweeps").iterdir()
    assert (sweep / "1/metrics.json").is_file()
    assert main(["resume", str(sweep)]) == 0


def test_cfg_shows_the_composed_configuration(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train.py"), "--cfg", "job", "model=deep", "--package", "model"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "- 20" in done.stdout and not list(tmp_path.iterdir())


def test_version_is_fulmens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"Fulmen {fulmen.__version__}\n"


def test_a_shell_completes_words(tmp_path: Path) -> None:
    def said(*words: str, **line: str) -> str:
        command, environment = [sys.executable, str(ROOT / "train.py"), *words], {**os.environ, **line}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    assert "complete -o nospace" in said("-sc", "install=bash")
    offered = said("-sc", "query=bash", COMP_LINE="fulmen model=", COMP_POINT="13").split()
    assert offered == [f"model={choice}" for choice in choices("model", [conf_dir()])]
    assert not list(tmp_path.iterdir())


def test_the_default_experiment_may_be_named() -> None:
    assert fulmen.compose(["experiment=null", "seed=3"]).seed == 3
    assert main(["--cfg", "job", "experiment=null"]) == 0


def test_a_run_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["model=deep", "trainer.max_epochs=2", "data=circles"]) == 0
    (folder,) = (tmp_path / "logs" / "runs").iterdir()
    said = capsys.readouterr().out
    for part in ("configuration", "501", "[B, 20]", "step 20 of 20", "final metrics", "accuracy"):
        assert part in said
    assert f"tensorboard --logdir {Path('logs/runs')}" in said and folder.name in said


def test_eight_runs_at_once_have_eight_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import datetime

    from fulmen.runs import names

    class Frozen(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Frozen":
            return cls(2026, 1, 1)

    monkeypatch.setattr(names, "datetime", Frozen)
    assert len({names.stamp() for _ in range(8)}) == 8


def test_a_path_needs_no_quotes(tmp_path: Path) -> None:
    folder = tmp_path / "a=b (c), d's [e]"
    assert fulmen.compose([f"run_dir={folder}"]).run_dir == str(folder)


def test_the_home_folder_is_where_a_run_may_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["run_dir=~/run", "trainer.max_epochs=1", "figures=none"]) == 0
    assert main(["resume=~/run", "trainer.max_epochs=2"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert list((tmp_path / "run").glob("tensorboard/*/events.*"))


def test_a_run_outlives_the_reader_of_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    process = forked("run_dir=run", "trainer.max_epochs=2", "logger=none", "figures=none", stdout=tmp_path / "pipe")
    Path("pipe").open("rb").close()
    assert (process.wait(), process.stderr) == (0, "")
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "completed"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_its_checkpoint_saved(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    process = forked("run_dir=run", "trainer.max_epochs=5000", "logger=none")
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait() == code, process.stderr
    error = process.stderr
    hint = f"to continue the run: python {ROOT / 'train.py'} resume=run"
    assert error.endswith(f"fulmen: stopped by {signal.Signals(number).name}; {hint}\n")
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["state"], status["device"]) == ("interrupted", "cpu") and status["steps"] > 0
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize("hidden_by", [AttributeError, None])
def test_a_signal_is_not_hidden_by_a_library_that_takes_it_for_its_own_failure(
    hidden_by: type[Exception] | None,
) -> None:
    def work() -> None:
        with raising():
            try:
                signal.raise_signal(signal.SIGTERM)
            except BaseException:
                if hidden_by is not None:
                    raise hidden_by from None

    with pytest.raises(Interrupted) as stopped:
        work()
    assert stopped.value.exit_code == 143


class Closing:
    """Gets the signal where Python drops whatever is raised."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_comes_while_an_object_is_deleted_still_stops(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with raising():
            Closing()
            for _ in range(1000):
                time.sleep(0.01)
            pytest.fail("nothing stopped the work")

    with pytest.raises(Interrupted) as stopped:
        work()
    assert stopped.value.exit_code == 143 and capfd.readouterr().err == ""


STRUCK = """
import os, signal, sys
from fulmen.cli.main import console

class Strike:
    def find_spec(self, name, *_):
        if name == "torch._C":
            os.kill(os.getpid(), signal.SIGTERM)
            print("torch is imported all the same", flush=True)

sys.meta_path.insert(0, Strike())
sys.argv = ["fulmen", "run_dir=run"]
console()
"""


def test_a_signal_before_the_run_leaves_nothing(tmp_path: Path) -> None:
    """It waits for the end of an import: torch's own code, in whose middle Python raises an error, aborts."""
    done = subprocess.run([sys.executable, "-c", STRUCK], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 143 and "Traceback" not in done.stderr
    assert done.stdout.endswith("torch is imported all the same\n")
    assert not list(tmp_path.iterdir())


OWN_MODEL = """\
from torch import nn

class Wide(nn.Sequential):
    def __init__(self, in_shape, out_features, *, width):
        super().__init__(nn.Flatten(), nn.Linear(in_shape[0], width), nn.Tanh(), nn.Linear(width, out_features))
"""
OWN_DATA = """\
from dataclasses import dataclass
import numpy as np
from fulmen.data.source import DataSpec, Source, Split

@dataclass(kw_only=True)
class Parity(Source):
    rows: int

    @property
    def spec(self):
        return DataSpec((3,), 1, "binary", ("a", "b", "c"), ("even", "odd"))

    def load(self):
        x = np.random.RandomState(self.seed).randint(0, 2, (self.rows, 3)).astype(float)
        return {"train": Split(x, x.sum(1).astype(int) % 2), "val": Split(x, x.sum(1).astype(int) % 2)}
"""
OWN_DATA_YAML = """\
# whether the number of ones is even
_target_: parity_data.Parity
rows: 64
batch_size: 16
epochs: 200
scale: none
seed: 0
"""


def test_a_model_and_data_of_ones_own_need_no_change_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "wide_net.py": OWN_MODEL,
        "parity_data.py": OWN_DATA,
        "model/wide.yaml": "# wide\n_target_: wide_net.Wide\n_partial_: true\nwidth: 16\n",
        "data/parity.yaml": OWN_DATA_YAML,
    }.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(content)
    words = ["--config-dir", "mine", "model=wide", "data=parity", "run_dir=run", "logger=none", "figures=none"]
    assert main(words) == 1
    assert "add allow_targets=[" in capsys.readouterr().err
    assert main([*words, "allow_targets=[wide_net,parity_data]"]) == 0
    assert '"val/accuracy": 1.0' in (tmp_path / "run" / "metrics.json").read_text()
    assert main(["--config-dir", "mine", "--help"]) == 0
    assert "wide " in capsys.readouterr().out
    assert main([*words[:2], "model=wdie"]) == 1
    assert "did you mean wide?" in capsys.readouterr().err


@pytest.mark.slow
def test_two_devices_keep_one_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: Callable[..., Any]
) -> None:
    """The second is a fresh process, begun by Lightning."""
    monkeypatch.chdir(tmp_path)
    words = ["accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=4", "figures=none", "run_dir=run"]
    process = forked(*words, OMP_NUM_THREADS="1")
    assert process.wait(200) == 0, process.stderr
    assert (tmp_path / "run" / "metrics.json").exists()
    assert (tmp_path / "run" / "history.csv").read_text().splitlines()[-1].startswith("64,4.0,"), "500 rows each, by 32"


@pytest.mark.parametrize(("program", "typed"), [("/usr/bin/fulmen", "fulmen"), ("../train.py", "python ../train.py")])
def test_hints_name_the_command_that_was_typed(
    program: str, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [program])
    assert main(["--help"]) == 0 and f"usage: {typed} [group=choice" in capsys.readouterr().out
    assert main(["predict", "--help"]) == 0 and f"usage: {typed} predict RUN" in capsys.readouterr().out
    for command, hint in (("compare", "compare RUN RUN"), ("leaderboard", "leaderboard logs/runs")):
        assert main([command]) == 1 and f"{typed} {hint}" in capsys.readouterr().err


def test_a_quiet_run_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["quiet=true", "trainer.max_epochs=1", "figures=none", "accelerator=cpu", "run_dir=run"]
    assert main(words) == 0
    assert main(["rerun=run", "quiet=true", "run_dir=again"]) == 0
    assert main(["resume=run", "trainer.max_epochs=2"]) == 0
    assert capfd.readouterr() == ("", "")


def test_the_printed_configuration_is_as_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["trainer.max_epochs=1", "figures=none", "logger=none", "model.bias=false", "accelerator=cpu"]) == 0
    shown = capsys.readouterr().out
    for line in ("bias: false", "compile: false", "max_steps: null", "hidden: [10]", "experiment: null"):
        assert line in shown
