"""`fulmen clean`: what takes space, what is deleted, and what never is."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rich.filesize import decimal

import fulmen
from fulmen.cli.main import main

Tree = dict[str, bytes]


WORDS = ("data=circles", "logger=tensorboard", "trainer.max_epochs=1")
DIVERGES = ("data=regression_1d", "model=linear", "optimizer=sgd", "optimizer.lr=1e9", "logger=none")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that completed, and one that diverged."""
    folder = tmp_path_factory.mktemp("trained")
    fulmen.train(fulmen.compose([*WORDS, "figures=none"]), folder / "completed", verbose=False)
    with pytest.raises(ArithmeticError):
        fulmen.train(fulmen.compose([*DIVERGES, "figures=none"]), folder / "diverged", verbose=False)
    return folder


@pytest.fixture
def logs(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs that ended in every way, as they leave them, with a file of mine beside them."""
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "logs" / "runs"
    for name in ("completed", "killed", "interrupted", "failed"):
        folder = shutil.copytree(trained / "completed", runs / name)
        set_state(folder, {"killed": "running"}.get(name, name))
        (folder / "checkpoints" / "previous.ckpt").write_bytes(b"12345")
        (folder / "checkpoints" / ".tmp-abc.ckpt").write_bytes(b"half")
    shutil.copytree(trained / "diverged", runs / "diverged")
    (runs / ".tmp-table.csv").write_bytes(b"half a table")
    (tmp_path / "logs" / "mine").mkdir()
    for name in (".tmp-mine", "last.ckpt"):
        (tmp_path / "logs" / "mine" / name).write_bytes(b"precious")
    return tmp_path / "logs"


def set_state(folder: Path, state: str) -> None:
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**status, "state": state}))


def tree(folder: Path) -> Tree:
    """Every file below a folder, and what is in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def gone(before: Tree, logs: Path) -> set[str]:
    """The files that are no longer there; all others are as they were."""
    after = tree(logs)
    assert after.items() <= before.items()
    return before.keys() - after.keys()


def matching(files: Tree, pattern: str) -> set[str]:
    return {path for path in files if re.fullmatch(pattern, path)}


EXPECTED = {
    "last": r"runs/completed/checkpoints/(last|previous)\.ckpt",
    "tensorboard": r"runs/(completed|killed|interrupted)/tensorboard/.*",
    "failed": r"runs/diverged/.*|runs/failed/(?!checkpoints/best\.ckpt|config\.yaml|status\.json).*",
    "temporary": r"runs/((completed|killed|interrupted)/checkpoints/\.tmp-abc\.ckpt|\.tmp-table\.csv)",
}


def test_it_only_looks_unless_told(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, stamps = tree(logs), [path.stat().st_mtime_ns for path in sorted(logs.rglob("*"))]
    assert main(["clean"]) == 0
    assert tree(logs) == before
    assert [path.stat().st_mtime_ns for path in sorted(logs.rglob("*"))] == stamps
    said = capsys.readouterr().out
    assert said.splitlines()[-1].endswith(
        "to delete, name kinds: fulmen clean remove=failed,temporary,last,tensorboard"
    )


def test_every_kind_is_counted(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = {
        "best": r"runs/.*/best\.ckpt",
        "resume": r"runs/(killed|interrupted)/checkpoints/(last|previous)\.ckpt",
        "record": r"runs/(completed|killed|interrupted)/\w+\.(yaml|json|csv)|runs/failed/(config\.yaml|status\.json)",
        "running": "none",
    }
    main(["clean", "logs"])
    said, files = capsys.readouterr().out, tree(logs)
    counted = 0
    for kind, pattern in (EXPECTED | kept).items():
        found = matching(files, pattern)
        size = decimal(sum(len(files[path]) for path in found))
        assert re.search(rf"│ {kind} +│[^│]+│ +{len(found)} │ +{re.escape(size)} │", said), f"{kind}: {said}"
        counted += len(found)
    assert counted == len([path for path in files if path.startswith("runs/")]), "every file is of one kind"


@pytest.mark.parametrize("kinds", [*EXPECTED, "last,failed", ",".join(EXPECTED)])
def test_the_kinds_named_are_deleted_and_nothing_else(
    kinds: str, logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(logs)
    expected = set().union(*(matching(before, EXPECTED[kind]) for kind in kinds.split(",")))
    assert main(["clean", f"remove={kinds}"]) == 0
    assert gone(before, logs) == expected and expected
    freed = decimal(sum(len(before[path]) for path in expected))
    assert capsys.readouterr().out.splitlines()[-1] == f"deleted {len(expected)} files, {freed} freed"
    assert len(matching(tree(logs), r".*/best\.ckpt")) == 4
    assert (logs / "runs" / "diverged").exists() == ("failed" not in kinds), "an empty folder goes, too"


def test_a_second_time_there_is_nothing_left(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["clean", f"remove={','.join(EXPECTED)}"]
    assert main(words) == main(words) == main(["clean"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "deleted 0 files, 0 bytes freed" in said
    assert said[-1] == "nothing was deleted, and there is nothing that could be"


@pytest.mark.parametrize("name", ["killed", "completed", "failed"])
def test_a_run_that_goes_on_is_not_touched(
    name: str, logs: Path, hold: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    hold(logs / "runs" / name)
    before = tree(logs)
    assert main(["clean", f"remove={','.join(EXPECTED)}"]) == 0
    left = gone(before, logs)
    assert left and not any(path.startswith(f"runs/{name}/") for path in left)
    assert "runs/.tmp-table.csv" not in left, "the sweep of a run that goes on may be writing it"
    files = len([path for path in before if path.startswith(f"runs/{name}/")])
    assert re.search(rf"│ running +│[^│]+│ +{files} │", capsys.readouterr().out)


def test_a_killed_run_can_be_told_from_one_that_goes_on(logs: Path) -> None:
    (logs / "runs" / "killed" / ".lock").touch()  # left by the process that is gone
    main(["clean", "remove=tensorboard,failed,last"])
    left = tree(logs / "runs" / "killed")
    assert "checkpoints/last.ckpt" in left and "metrics.json" in left and not matching(left, "tensorboard/.*")


def test_a_run_whose_status_is_damaged_is_not_touched(logs: Path) -> None:
    for name, content in (("completed", ""), ("failed", "[1]"), ("diverged", "\x00")):
        (logs / "runs" / name / "status.json").write_text(content)
    before = tree(logs)
    main(["clean", f"remove={','.join(EXPECTED)}"])
    assert not [path for path in gone(before, logs) if path.split("/")[1] in ("completed", "failed", "diverged")]


def test_a_run_inside_another_one_is_a_run_of_its_own(logs: Path) -> None:
    (logs / "runs" / "completed").rename(logs / "runs" / "failed" / "completed")
    main(["clean", "remove=failed"])
    assert {"metrics.json", "checkpoints/last.ckpt"} <= tree(logs / "runs" / "failed" / "completed").keys()


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_links_are_not_followed(logs: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (logs / "runs" / "failed").rename(elsewhere)
    (logs / "runs" / "failed").symlink_to(elsewhere)
    diverged = logs / "runs" / "diverged"
    (diverged / "link").symlink_to(elsewhere / "metrics.json")
    (diverged / "folder").symlink_to(elsewhere / "checkpoints")
    before = tree(elsewhere)
    assert main(["clean", f"remove={','.join(EXPECTED)}"]) == 0
    assert tree(elsewhere) == before and (logs / "runs" / "failed").is_symlink()
    assert {path.name for path in diverged.iterdir()} == {"link", "folder"}


def test_a_single_run_may_be_named(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, folder = tree(logs), "logs/runs/diverged"
    assert main(["clean", folder]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"fulmen clean {folder} remove=failed")
    assert main(["clean", folder, "remove=failed,last"]) == 0
    assert gone(before, logs) == matching(before, "runs/diverged/.*")


def test_what_cannot_be_deleted_leaves_a_run_that_can_be_found_again(
    logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "history.csv":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert main(["clean", "logs/runs/diverged", "remove=failed"]) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(r"fulmen: cannot delete \S+history.csv: Permission denied; it and the rest are left\n", said)
    assert {"status.json", "config.yaml"} <= tree(logs / "runs" / "diverged").keys()


def test_only_runs_with_the_labels_are_cleaned(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run, labels in {"completed": {"tags": ["old"]}, "failed": {"tags": ["old"], "name": "first"}}.items():
        path = logs / "runs" / run / "config.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | labels))
    (logs / "runs" / "killed" / "config.yaml").write_text("[")
    before = tree(logs)
    assert main(["clean", "tags=old"]) == 0 and tree(logs) == before
    assert "fulmen clean tags=old remove=failed,temporary,last,tensorboard" in capsys.readouterr().out
    assert main(["clean", "remove=last,temporary", "tags=old"]) == 0
    assert gone(before, logs) == matching(before, r"runs/completed/checkpoints/(last|previous|\.tmp-abc)\.ckpt")
    before = tree(logs)
    assert main(["clean", "remove=failed", "name=f*"]) == 0
    assert (lost := gone(before, logs)) and all(path.startswith("runs/failed/") for path in lost)


WRONG = {
    "tags=nobody": r"no run in logs has tags=nobody",
    "tags=": r"tags= is empty, but means: only runs with all these tags",
    "tag=old": r"there is no option tag=; did you mean tags\?",
    "name=a remove=lats": r"did you mean last\?",
    "remove=lats": r"remove is 'lats', but must be one of failed, temporary, last, tensorboard; did you mean last\?",
    "remove=last,tensorbord": r"remove is 'tensorbord'.*did you mean tensorboard\?",
    "remove=best": r"remove is 'best', but must be one of",
    "remove=": r"remove is ''",
    "delete=last": r"there is no option delete=",
    "--force": r"there is no option --force",
    "lgos": r"there is no folder lgos; did you mean logs\?",
    "logs logs": r"clean takes one folder, and these are 2",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said_in_a_sentence_and_nothing_is_deleted(
    words: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "status.json").write_text('{"state": "failed"}')
    assert re.search(WRONG[words], refused("clean", *words.split()))


def test_without_logs_there_is_a_sentence(refused: Callable[..., str]) -> None:
    assert "there is no folder logs" in refused("clean")


def test_what_is_no_run_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another program may have a file of that name."""
    (tmp_path / "theirs" / "src").mkdir(parents=True)
    (tmp_path / "theirs" / "status.json").write_text('{"state": "failed"}')
    (tmp_path / "theirs" / "src" / "thesis.tex").write_text("all of it")
    assert main(["clean", str(tmp_path), "remove=failed"]) == 0
    assert (tmp_path / "theirs" / "src" / "thesis.tex").read_text() == "all of it"
    assert (tmp_path / "theirs" / "status.json").exists()
