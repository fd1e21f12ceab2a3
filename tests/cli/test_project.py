"""A project of one's own: written, trusted on this machine by what its modules hold, and found by commands."""

import importlib.util
import io
import json
import py_compile
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fulmen.cli.main import main

SHORT = ("trainer.max_epochs=1", "figures=none", "logger=none", "quiet=true")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new project, the working directory; its owner's record of trust is in `tmp_path`."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my-waves"]) == 0
    monkeypatch.chdir(tmp_path / "my-waves")
    _forget()
    yield tmp_path / "my-waves"
    _forget()


def _forget() -> None:
    """Lets Python import the project's package anew, as another process would."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_waves"]:
        del sys.modules[name]


def test_a_new_project_trains_and_every_command_finds_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(folder / "run")
    assert main(["experiment=first", *SHORT, f"run_dir={run}"]) == 0
    metrics = json.loads((folder / "run" / "metrics.json").read_text("utf-8"))
    assert 0 <= metrics["val/within_score"] <= 1
    assert main(["help", "waves"]) == 0 and "model.waves" in capsys.readouterr().out
    assert main(["-m", "experiment=first", *SHORT[:-1], "seed=0,1"]) == 0

    shutil.copytree(run, tmp_path / "from-elsewhere")
    assert main(["evaluate", str(tmp_path / "from-elsewhere")]) == 1, "it could call the project's own functions"
    assert "allow_targets" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["evaluate", run, "split=val"]) == 0
    assert json.loads(capsys.readouterr().out)["val/mse"] == metrics["val/mse"]
    assert main(["evaluate", run, "data=parabola", "data.noise=0"]) == 0
    assert json.loads(capsys.readouterr().out)["val/mse"] != metrics["val/mse"]
    (tmp_path / "rows.csv").write_text("x\n0.5\n", "utf-8")
    assert main(["predict", run, "input=rows.csv"]) == 0
    assert main(["resume", run]) == 0
    assert "completed after 3 steps: nothing more to do" in capsys.readouterr().out
    assert main(["resume", run, "trainer.max_epochs=2"]) == 0
    assert main(["rerun", run, "model.waves=3", "figures=none", "quiet=true"]) == 0
    assert main(["experiment=first"]) == 1, "elsewhere it is not there"


def test_commands_are_printed_without_what_the_project_supplies(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", "experiment=first", *SHORT[:-1], "optimizer.lr=0.01,1e38"]

    def printed(start: str) -> str:
        lines = capsys.readouterr().out.splitlines()
        return next(line.strip().removeprefix(start) for line in lines if line.strip().startswith(start))

    assert main(words) == 1
    typed = printed("alone: ")
    assert typed.startswith("fulmen rerun=logs/sweeps/") and typed.endswith("/1")
    assert main([*shlex.split(typed)[1:], "optimizer.lr=0.1"]) == 0
    (sweep,) = Path("logs/sweeps").iterdir()
    assert main(["report", str(sweep)]) == 0
    page = (sweep / "report.html").read_text("utf-8")
    assert f"fulmen -m resume={sweep} retry=diverged" in page
    assert "fulmen -m experiment=first" in page and "config-dir" not in page
    assert main(["tune", "batch_size", "model=waves", "data=parabola"]) == 0
    typed = printed("to train with it: ")
    assert "config-dir" not in typed and "allow_targets" not in typed
    assert main([*shlex.split(typed)[1:], *SHORT]) == 0

    monkeypatch.chdir(tmp_path)
    own = ["--config-dir", str(folder / "conf"), "allow_targets=[my_waves]"]
    assert main([*own, *words]) == 1
    assert printed("alone: ").startswith(f"fulmen --config-dir {folder / 'conf'} rerun=logs/sweeps/")


def test_refusals_print_a_command_that_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["experiment=first", *SHORT, "run_dir=run"]) == 0
    assert main(["resume=run", "model.waves=3"]) == 1
    assert capsys.readouterr().err.strip().endswith("; to train with changes, take fulmen rerun=run")
    assert main(["rerun=run", "model.waves=3", *SHORT[1:]]) == 0
    capsys.readouterr()
    assert main(["resume=run"]) == 0
    assert ", or fulmen rerun=run with changes" in capsys.readouterr().out
    status = json.loads(Path("run/status.json").read_text("utf-8"))
    Path("run/status.json").write_text(json.dumps(status | {"state": "diverged"}), "utf-8")
    assert main(["resume=run"]) == 1
    assert "would again; use fulmen rerun=run with changes" in capsys.readouterr().err

    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "run", "elsewhere")
    own = ["--config-dir", str(folder / "conf"), "allow_targets=[my_waves]"]
    assert main([*own, "resume=elsewhere"]) == 1
    typed = f"fulmen --config-dir {folder / 'conf'} rerun=elsewhere 'allow_targets=[my_waves]'"
    assert f"use {typed} with changes" in capsys.readouterr().err
    assert main([*shlex.split(typed)[1:], "model.waves=3", *SHORT[1:]]) == 0


def test_the_tests_of_a_new_project_pass(folder: Path) -> None:
    sys.path.append(str(folder))
    source = (folder / "tests" / "test_parts.py").read_text("utf-8")
    names: dict[str, object] = {}
    exec(compile(source, "test_parts.py", "exec"), names)
    tests = [test for name, test in names.items() if name.startswith("test_") and callable(test)]
    assert len(tests) == 3
    for test in tests:
        test()


def test_a_copy_does_nothing_until_it_is_trusted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "downloaded"
    shutil.copytree(folder, copy)
    with (copy / "my_waves" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write("\nraise RuntimeError('ran')\n")
    monkeypatch.chdir(copy)
    assert main(["experiment=first", *SHORT]) == 1
    assert main(["help", "experiment=first"]) == 1
    said = capsys.readouterr().err
    assert "not trusted" in said and f"fulmen trust {copy}" in said and "ran" not in said
    assert main(["data=moons", *SHORT]) == 0, "without it, everything else goes on"
    assert main(["trust"]) == 0
    assert main(["experiment=first", *SHORT]) == 1
    assert "RuntimeError: ran" in capsys.readouterr().err


@pytest.mark.parametrize("changed", ["my_waves/model.py", "my_waves/further.py", "fulmen.toml"])
def test_other_content_is_asked_about_anew(
    folder: Path, changed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / changed).open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert main(["help", "waves"]) == 1
    assert "fulmen trust" in capsys.readouterr().err, "help does not ask"
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["experiment=first", *SHORT]) == 1
    said = capsys.readouterr().err
    assert f"{changed} in {folder} changed since" in said
    assert f"if you trust it as it is: fulmen trust {folder}; with edits=true, also whatever it becomes\n" in said
    for answer, code in (("\n", 1), ("yes\n", 0), ("", 0)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        assert main(["experiment=first", *SHORT]) == code
        assert ("Trust it? [y]es" in capsys.readouterr().err) == (answer != "")


def test_an_owner_who_edits_is_not_asked_each_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder / "my_waves" / "model.py"

    def edited() -> int:
        source.write_text(f"{source.read_text('utf-8')}\n# changed\n", "utf-8")
        _forget()
        return main(["experiment=first", *SHORT])

    assert edited() == 1
    monkeypatch.setattr(sys, "stdin", io.StringIO("always\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert edited() == 0 and "whatever it becomes" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert edited() == 0
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert main(["experiment=first", *SHORT]) == 1, "only the folder that was named is trusted"
    monkeypatch.chdir(folder)
    assert main(["trust"]) == 0
    assert edited() == 1, "that takes it back"
    assert main(["trust", "edits=true"]) == 0
    assert "trusted whatever they become: fulmen.toml, my_waves/" in capsys.readouterr().out
    assert edited() == 0
    assert main(["trust", "edits=maybe"]) == 1


def test_modules_of_the_project_that_trusted_ones_import_are_hashed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "my_waves" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write("\nimport waves_beside.inner\nimport torch, no_such_module_of_waves\n")
    (folder / "waves_beside").mkdir()
    (folder / "waves_beside" / "inner.py").write_text("def late():\n    from waves_chosen import x\n", "utf-8")
    (folder / "conf" / "waves_chosen.py").write_text("from . import y\nimport waves_beside, json\n", "utf-8")
    (folder / "unrelated.py").write_text("", "utf-8")
    assert main(["trust"]) == 0
    said = capsys.readouterr().out
    assert "waves_beside/inner.py" in said and "conf/waves_chosen.py" in said
    assert "torch" not in said and "unrelated" not in said
    (folder / "unrelated.py").write_text("import os\n", "utf-8")
    assert main(["data=moons", *SHORT]) == 0
    assert capsys.readouterr().err == ""
    (folder / "conf" / "waves_chosen.py").write_text("import os\n", "utf-8")
    assert main(["data=moons", *SHORT]) == 0
    assert "conf/waves_chosen.py in" in capsys.readouterr().err


def test_bytecode_of_other_code_is_not_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "evil.py").write_text("raise RuntimeError('ran')\n", "utf-8")
    source = folder / "my_waves" / "model.py"
    cached = py_compile.compile(
        str(folder / "evil.py"),
        importlib.util.cache_from_source(source),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    assert cached is not None and Path(cached).exists()
    assert main(["experiment=first", *SHORT]) == 0, capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_only_modules_of_the_project_can_be_trusted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "code.py").write_text("", "utf-8")
    (folder / "linked").symlink_to(outside)
    (folder / "my_waves" / "inner").symlink_to(outside)
    (folder / "json").mkdir()
    (folder / "json" / "__init__.py").write_text("", "utf-8")
    for line, sentence in {
        'allow_targets = ["json"]': "which Python finds elsewhere",
        'allow_targets = ["__main__"]': "which Python finds elsewhere",
        'allow_targets = ["sys"]': "which Python finds elsewhere",
        'allow_targets = ["linked"]': "which Python finds elsewhere",
        'allow_targets = ["my_waves"]': "is a link",
        'allow_targets = ["nowhere"]': "no such module",
        'allow_targets = ["a]b"]': "write a list of modules",
        'allow_targets = "my_waves"': "write a list of modules",
        'config_dir = ".."': "outside of the project",
        'config_dir = "nowhere"': "which is no folder there",
        "allowed = []": "only config_dir and allow_targets count",
        "allowed": "cannot be read",
    }.items():
        (folder / "fulmen.toml").write_text(line, "utf-8")
        assert main(["trust"]) == 1
        assert sentence in capsys.readouterr().err, line


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("new",), "name one new folder"),
        (("new", "class"), "cannot be the name"),
        (("new", "json"), "Python has a module json already"),
        (("new", "there"), "is there already"),
        (("new", "x=1"), "there is no option x=; there are none"),
        (("trust", "nowhere"), "there is no"),
        (("trust", "a", "b"), "name one project"),
    ],
)
def test_new_and_trust_refuse_in_a_sentence(
    refused: Callable[..., str], tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    assert sentence in refused(*words)
