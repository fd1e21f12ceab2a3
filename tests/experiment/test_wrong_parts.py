"""A part of one's own that is wrong is refused before anything is written, with the signature that it must have."""

from pathlib import Path

import pytest

from fulmen.cli.main import main
from fulmen.rules import SIGNATURES

SMALL = ["data=moons", "data.train_size=40", "trainer.max_epochs=1", "figures=none", "logger=none"]
PARTIAL = "_partial_: true\n"
HEAD = "import torch\nfrom torch import nn\nfrom lightning.pytorch.callbacks import Callback\n"

WRONG = {
    "model that is a function of nothing": ("model", "def part(): pass", "unexpected keyword argument 'in_shape'"),
    "model that takes no out_features": (
        "model",
        "class part(nn.Module):\n  def __init__(self, in_shape): pass",
        "out_features",
    ),
    "model that is no module": (
        "model",
        "class part:\n  def __init__(self, in_shape, out_features): pass",
        "no Module",
    ),
    "model that needs more": (
        "model",
        "class part(nn.Module):\n  def __init__(self, in_shape, out_features, width): pass",
        "missing a required argument: 'width'",
    ),
    "model with a key that it does not take": (
        "model",
        "class part(nn.Module):\n  def __init__(self, in_shape, out_features, width=4): pass",
        "unexpected keyword argument 'widht'",
        f"{PARTIAL}widht: 3\n",
    ),
    "loss of two arguments": ("loss", "def part(out, y): return out.mean()", "too many positional arguments"),
    "loss that is made at once": ("loss", "def part(out, y, task): return out.mean()", "missing 3 required", ""),
    "loss that is None": ("loss", "def part(out, y, task): pass", "returned None"),
    "loss of each row": ("loss", "def part(out, y, task): return (out - y) ** 2", "returned a tensor of shape (3, 1)"),
    "loss without a gradient": ("loss", "def part(out, y, task): return out.detach().mean()", "without a gradient"),
    "loss that is a number": ("loss", "def part(out, y, task): return out.mean().item()", "returned a float"),
    "loss that fails": ("loss", "def part(out, y, task): return out.mean() / task.none", "no attribute 'none'"),
    "loss that is a class": ("loss", "class part:\n  def __call__(self, out, y, task): pass", "cannot be called"),
    "penalty of nothing": ("penalty", "def part(): return 0", "too many positional arguments"),
    "penalty that is None": ("penalty", "def part(parameters): pass", "returned None"),
    "penalty that is zero": ("penalty", "def part(parameters): return 0.0", "returned a float"),
    "penalty of each tensor": (
        "penalty",
        "def part(parameters): return torch.stack([p.norm() for p in parameters])",
        "returned a tensor of shape (4,)",
    ),
    "penalty without a gradient": (
        "penalty",
        "def part(parameters): return sum(p.detach().norm() for p in parameters)",
        "without a gradient",
    ),
    "penalty that fails": ("penalty", "def part(parameters): return parameters.norm()", "no attribute 'norm'"),
    "optimizer of nothing": (
        "optimizer",
        "class part(torch.optim.Optimizer):\n  def __init__(self): pass",
        "cannot be",
    ),
    "optimizer that is no optimizer": ("optimizer", "class part:\n  def __init__(self, params): pass", "no Optimizer"),
    "optimizer that needs a rate": ("optimizer", "def part(params, lr): pass", "missing a required argument: 'lr'"),
    "optimizer that is None": ("optimizer", "def part(params): pass", "returned None"),
    "optimizer that fails": ("optimizer", "def part(params): raise ValueError('no rate')", "no rate"),
    "optimizer that takes no closure": (
        "optimizer",
        "class part(torch.optim.SGD):\n  def step(self): pass",
        "takes 1 positional argument",
    ),
    "optimizer that finds no gradient": (
        "optimizer",
        "class part(torch.optim.SGD):\n  def step(self, closure=None): pass",
        "does not call the closure",
    ),
    "optimizer whose step fails": (
        "optimizer",
        "class part(torch.optim.SGD):\n  def step(self, closure=None): self.state['no'][0]",
        "KeyError",
    ),
    "schedule of the optimizer alone": ("scheduler", "def part(optimizer): pass", "too many positional arguments"),
    "schedule that is None": ("scheduler", "def part(optimizer, plan): pass", "returned None"),
    "schedule that is a number": ("scheduler", "def part(optimizer, plan): return 0.1", "returned a float"),
    "schedule that fails": ("scheduler", "def part(optimizer, plan): return plan.steps", "no attribute 'steps'"),
    "initializer of nothing": ("init", "def part(): pass", "too many positional arguments"),
    "initializer that fails": ("init", "def part(net): net.layers[9].weight.zero_()", "IndexError"),
    "initializer that makes another network": ("init", "def part(net): return nn.Linear(2, 1)", "returned a Linear"),
    "initializer that makes another weight": (
        "init",
        "def part(net): net.layers[0].weight = nn.Parameter(torch.ones(3, 3))",
        "replaced layers.0.weight by another of shape [3, 3]",
    ),
    "initializer of no numbers": (
        "init",
        "def part(net): nn.init.constant_(net.layers[0].bias, torch.nan)",
        "filled layers.0.bias with values that are not finite",
    ),
    "callback that is a function of the trainer": (
        "callbacks",
        "def part(trainer): pass",
        "missing a required argument",
    ),
    "callback that is none": ("callbacks", "class part: pass", "no Callback"),
    "callback that is None": ("callbacks", "def part(): pass", "returned None"),
    "callback among others": ("callbacks", "def part(): return [Callback(), 3]", "returned an int"),
    "callback with another hook": (
        "callbacks",
        "class part(Callback):\n  def on_train_start(self): pass",
        "has on_train_start, which is called with trainer, pl_module: too many positional arguments",
    ),
    "callback that is made at once": ("callbacks", "class part(Callback): pass", "add '_partial_: true' to it", ""),
    "logger without a folder": ("logger", "class part:\n  def __init__(self, path): pass", "argument"),
    "logger that is none": ("logger", "class part:\n  def __init__(self, save_dir, version): pass", "no Logger"),
    "logger that lacks methods": (
        "logger",
        "from lightning.pytorch.loggers.logger import Logger\nclass part(Logger):\n"
        "  def __init__(self, save_dir, version): pass",
        "lacks log_hyperparams, log_metrics, name, version",
    ),
    "model that is no module yet": (
        "model",
        "class part(nn.Module):\n  def __init__(self, in_shape, out_features): self.layer = nn.Linear(2, 1)",
        "cannot assign module before Module.__init__() call",
    ),
    "model with a key too many": (
        "model",
        "class part(nn.Module):\n  def __init__(self, in_shape, out_features): pass",
        "unexpected keyword argument 'width'",
        "_partial_: true\nwidth: 3\n",
    ),
    "loss of complex numbers": ("loss", "def part(out, y, task): return out.mean() * 1j", "a tensor of complex64"),
    "data set that is none": ("data", "class part: pass", "which must be"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_part_is_refused_with_its_signature(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    group, code, said, *partial = WRONG[name]
    module = f"wrong_{list(WRONG).index(name)}"  # imported once for all tests
    (tmp_path / group).mkdir()
    (tmp_path / f"{module}.py").write_text(HEAD + code)
    (tmp_path / group / "wrong.yaml").write_text(f"_target_: {module}.part\n{partial[0] if partial else PARTIAL}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    given = [word for word in SMALL if not word.startswith(group)]
    given = [word for word in given if group != "data" or not word.startswith("data.")]
    assert main([*given, f"--config-dir={tmp_path}", f"{group}=wrong", f"allow_targets=[{module}]", "run_dir=run"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert SIGNATURES[group] in error
    assert "Traceback" not in error and len(error.splitlines()) == 1
    assert not Path("run").exists()


def test_a_data_set_needs_the_keys_that_all_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import dataclasses\nfrom fulmen.data.source import Source\nclass Own(Source):\n  spec = load = None\n"
    (tmp_path / "lacking.py").write_text(code)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "own.yaml").write_text("_target_: lacking.Own\nepochs: 10\nseed: 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["--config-dir=.", "data=own", "allow_targets=[lacking]"]) == 1
    assert "data has no 'batch_size', which every data set's file must have" in capsys.readouterr().err
