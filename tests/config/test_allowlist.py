"""What a configuration may run: nothing but what `conf/` ships and what the user types."""

import sys
from pathlib import Path

import pytest

import fulmen
from fulmen.cli.main import main
from fulmen.config import allowlist
from fulmen.config.groups import conf_dir
from fulmen.errors import ConfigurationError

DANGEROUS = [
    "os.system",
    "builtins.open",
    "builtins.eval",
    "torch.load",
    "joblib.load",
    "pathlib.Path.write_text",
    "distutils.spawn.spawn",
    "subprocess.run",
    "lightning.fabric.utilities.cloud_io._load",
    "torch.optim.optimizer.warnings.sys.exit",
    "torch.optim.Adam.__init__",
    "fulmen.experiment.build.os.system",
]


@pytest.mark.parametrize("group", ["model", "optimizer", "logger", "data", "trainer"])
def test_what_is_not_shipped_is_refused(group: str) -> None:
    with pytest.raises(ConfigurationError, match="none of Fulmen's parts"):
        fulmen.compose([f"{group}._target_=os.system"])


@pytest.mark.parametrize("target", DANGEROUS)
def test_nothing_dangerous_is_shipped(target: str) -> None:
    config = fulmen.compose()
    config.model._target_ = target
    with pytest.raises(ConfigurationError, match="none of Fulmen's parts"):
        allowlist.check(config, [])


@pytest.mark.parametrize(
    ("allowed", "target"),
    [
        ("torch.optim", "torch.optim.optimizer.warnings.sys.exit"),
        ("torch.optim", "torch.optim.optimizer.torch.load"),
        ("os", "os.system"),
        ("lightning.fabric.utilities.apply_func", "lightning.fabric.utilities.apply_func.torch.load"),
    ],
)
def test_an_allowed_module_does_not_lend_its_name_to_others(allowed: str, target: str) -> None:
    with pytest.raises(ConfigurationError, match=r"lives in|cannot be imported|there is no module"):
        fulmen.compose([f"allow_targets=[{allowed}]", f"model._target_={target}"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model/evil", "_target_: os.system\n_partial_: true\n"),
        ("model/evil", "hidden:\n  - _target_: os.system\n"),
        ("model/evil", "target: os.system\n_target_: ${.target}\n"),
        ("model/evil", 'hidden: ["${oc.create:{_target_: os.system}}"]\n'),
        ("experiment/evil", "# @package _global_\nhydra:\n  callbacks:\n    evil:\n      _target_: os.system\n"),
        ("hydra/job_logging/evil", "version: 1\nhandlers:\n  a:\n    (): os.system\n"),
        ("hydra/hydra_logging/evil", "version: 1\nhandlers:\n  a:\n    class: os.system\n"),
    ],
)
def test_files_from_elsewhere_may_not_either(name: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    group = name.removesuffix("/evil")
    with pytest.raises(ConfigurationError, match=r"none of Fulmen's parts|Hydra itself|is not there yet"):
        fulmen.compose([f"{group}=evil"], config_dir=tmp_path)


@pytest.mark.parametrize("value", ["planted.run", "${.other}"])
@pytest.mark.parametrize("way", ["command line", "added to Hydra's part", "file", "experiment", "callback in a file"])
def test_a_refused_target_is_not_even_imported(
    way: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CVE-2026-68508 and CVE-2026-106439: Hydra's block list is not what keeps a target out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "planted.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    part = f"_target_: '{value}'\nother: planted.run\n"
    nested = part.replace("_", "  _", 1).replace("other", "  other")
    files = {
        "file": ("model", part),
        "experiment": ("experiment", f"# @package _global_\nmodel:\n{nested}"),
        "callback in a file": ("experiment", f"# @package _global_\nhydra:\n callbacks:\n  x:\n{nested}"),
    }
    words = {
        "command line": [f"model._target_={value}"],
        "added to Hydra's part": [f"+hydra.callbacks.x._target_={value}", "+hydra.callbacks.x.other=planted.run"],
    }
    if way in files:
        group, content = files[way]
        (tmp_path / group).mkdir()
        (tmp_path / group / "planted.yaml").write_text(content)
        words[way] = ["--config-dir", str(tmp_path), f"{group}=planted"]
    assert main(words[way]) == 1
    assert main(["-m", "seed=0,1", *words[way]]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert "planted" not in sys.modules and not (tmp_path / "ran").exists()
    assert not (tmp_path / "logs").exists()


def test_nor_may_what_starts_the_runs_of_a_sweep(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hydra" / "launcher" / "evil.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("_target_: os.system\n")
    assert main(["-m", "--config-dir", str(tmp_path), "hydra/launcher=evil", "seed=0,1"]) == 1
    assert "there is no hydra/launcher=evil; the choices are basic, vectorized" in capfd.readouterr().err


def test_one_module_needs_no_brackets() -> None:
    config = fulmen.compose(["allow_targets=fulmen.models.mlp", "model._target_=fulmen.models.mlp.MLP"])
    assert config.allow_targets == ["fulmen.models.mlp"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("def net(:", r"model._target_ names broken.net, and importing broken ends in SyntaxError: .*line 1\)$"),
        ("raise KeyError('weights')", r"importing broken ends in KeyError: 'weights'$"),
        ("raise SystemExit(3)", r"importing broken ends in SystemExit: 3$"),
        ("import no_such_module", r"there is no module no_such_module; install it$"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(
    code: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken.py").write_text(code)
    with pytest.raises(ConfigurationError, match=sentence):
        fulmen.compose(["allow_targets=[broken]", "model._target_=broken.net"])


def test_a_changed_configuration_is_checked_again(tmp_path: Path) -> None:
    config = fulmen.compose(["logger=none"])
    config.model._target_ = "os.system"
    with pytest.raises(ConfigurationError, match="none of Fulmen's parts"):
        fulmen.train(config, folder=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_all_that_conf_names_is_allowed() -> None:
    named = {
        line.split()[1]
        for path in conf_dir().rglob("*.yaml")
        for line in path.read_text().splitlines()
        if "_target_:" in line
    }
    assert named == allowlist.shipped() and len(named) > 30
