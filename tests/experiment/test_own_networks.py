"""Networks as people write them: each trains and comes back equal from its folder, or its line to change is named."""

import importlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fulmen.cli.main import main
from fulmen.models.initializers import new_network
from fulmen.models.network_check import SmallestBatch, check

HEAD = """\
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, in_shape, out_features):
        super().__init__()
        width = in_shape[0]
"""
"""Line 10 of the file follows: the rest of `__init__`, from `|` on the body of `forward`."""

TRAIN = {
    "batch normalization": "self.body = nn.Sequential(nn.Linear(width, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), "
    "nn.Dropout(0.1), nn.Linear(8, out_features)) | return self.body(x)",
    "LSTM over features": "self.rnn = nn.LSTM(1, 4, batch_first=True); self.head = nn.Linear(4, out_features) | "
    "return self.head(self.rnn(x.unsqueeze(2))[0][:, -1])",
    "attention over features": "self.up = nn.Linear(1, 4); self.mix = nn.MultiheadAttention(4, 2, batch_first=True); "
    "self.head = nn.Linear(4 * width, out_features) | u = self.up(x.unsqueeze(2)); "
    "return self.head(self.mix(u, u, u)[0].flatten(1))",
    "embedding": "self.table = nn.Embedding(9, 4); self.head = nn.Linear(4 * width, out_features) | "
    "return self.head(self.table(x.round().long().clamp(-4, 4) + 4).flatten(1))",
    "tied weights": "self.one = nn.Linear(width, width); self.two = nn.Linear(width, width); "
    "self.two.weight = self.one.weight; self.head = nn.Linear(width, out_features) | "
    "return self.head(torch.tanh(self.two(torch.tanh(self.one(x)))))",
    "frozen weights": "self.one = nn.Linear(width, 8).requires_grad_(False); self.norm = nn.BatchNorm1d(8).eval(); "
    "self.head = nn.Linear(8, out_features) | return self.head(self.norm(self.one(x)).relu())",
    "weight norm": "self.one = nn.utils.parametrizations.weight_norm(nn.Linear(width, out_features)) | "
    "return self.one(x)",
    "lazy": "self.body = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.LazyLinear(out_features)) | "
    "return self.body(x)",
    "a counter": "self.calls = 0; self.head = nn.Linear(width, out_features) | self.calls += 1; "
    "noise = torch.randn_like(x) / self.calls if self.training else 0; return self.head(x + noise)",
    "float64 inside": "self.head = nn.Linear(width, out_features).double() | return self.head(x.double()).float()",
    "softmax inside": "self.score = nn.Linear(width, width); self.head = nn.Linear(width, out_features) | "
    "return self.head(x * self.score(x).softmax(1))",
    "a branch by row": "self.head = nn.Linear(width, out_features) | "
    "return torch.where(x[:, :1] > 0, self.head(x), self.head(2 * x))",
    "zeros at first": "self.one = nn.Linear(width, 4); self.head = nn.Linear(4, out_features); "
    "nn.init.zeros_(self.head.weight) | return self.head(self.one(x).relu_())",
    "attributes of all sorts": "self.head = nn.Linear(width, out_features); self.shadow = [self.head]; "
    "self.seen = None; self.sizes = {'in': width} | self.seen = self.head(x); return self.seen",
    "a mean of features": "self.norm = nn.LayerNorm(width); self.head = nn.Linear(width, out_features) | "
    "return self.head(self.norm(x)) + x.mean(1, keepdim=True)",
}

REFUSED = {
    "a list of layers": (
        "self.layers = [nn.Linear(width, width) for _ in range(2)]; self.head = nn.Linear(width, out_features) | "
        "\n        for layer in self.layers: x = layer(x)\n        return self.head(x)",
        ["Net (nets.py:10)", "self.layers = nn.ModuleList(...)"],
    ),
    "nothing but a list of layers": (
        "self.layers = [nn.Linear(width, out_features)] | return self.layers[0](x)",
        ["Net (nets.py:10)", "self.layers = nn.ModuleList(...)"],
    ),
    "a dictionary of layers": (
        "self.parts = {'one': nn.Linear(width, width)}; self.head = nn.Linear(width, out_features) | "
        "return self.head(self.parts['one'](x))",
        ["Net (nets.py:10)", "self.parts = nn.ModuleDict(...)"],
    ),
    "a tensor that learns": (
        "self.head = nn.Linear(width, out_features)\n        self.scale = torch.ones(1, requires_grad=True) | "
        "return self.head(x) * self.scale",
        ["Net (nets.py:11)", "self.scale = nn.Parameter(...)"],
    ),
    "a list of parameters": (
        "self.head = nn.Linear(width, out_features)\n        self.scales = [nn.Parameter(torch.ones(1))] | "
        "return self.head(x) * self.scales[0]",
        ["Net (nets.py:11)", "self.scales = nn.ParameterList(...)"],
    ),
    "a random tensor that is not saved": (
        "self.head = nn.Linear(width, out_features)\n        self.mix = torch.randn(width, width) | "
        "return self.head(x @ self.mix)",
        ["Net (nets.py:11)", "self.register_buffer('mix', tensor)"],
    ),
    "a buffer that is not saved": (
        "self.head = nn.Linear(width, out_features)\n"
        "        self.register_buffer('mix', torch.randn(width), persistent=False) | return self.head(x * self.mix)",
        ["Net (nets.py:11)", "self.register_buffer('mix', tensor)"],
    ),
    "the input in place": (
        "self.head = nn.Linear(width, out_features) |\n        x -= 1\n        return self.head(x)",
        ["(nets.py:12)", "in place", "x = x + 1 for x += 1"],
    ),
    "the input in place by a layer": (
        "self.body = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(width, out_features)) | return self.body(x)",
        ["nets.py:12, in body.0 (ReLU)", "inplace=False"],
    ),
    "in place before its gradient": (
        "self.one = nn.Linear(width, 4); self.head = nn.Linear(4, out_features) |\n        x = self.one(x).exp()\n"
        "        x += 1\n        return self.head(x)",
        ["the gradient of Net (nets.py:11) cannot be found", "x = x + 1 for x += 1"],
    ),
    "a tuple": (
        "self.rnn = nn.LSTM(width, out_features) | return self.rnn(x)",
        ["Net (nets.py:11) returns a tuple", "return the tensor alone"],
    ),
    "a dictionary": (
        "self.head = nn.Linear(width, out_features) | return {'logits': self.head(x)}",
        ["Net (nets.py:11) returns a dict", "return the tensor alone"],
    ),
    "nothing": (
        "self.head = nn.Linear(width, out_features) | self.head(x)",
        ["Net (nets.py:11) returns None", "return"],
    ),
    "transposed": (
        "self.head = nn.Linear(width, out_features) | return self.head(x).view(1, -1)",
        ["Net (nets.py:11) returns (1, 3) for 3 rows", "view(len(x), -1)"],
    ),
    "squeezed": (
        "self.head = nn.Linear(width, out_features) | return self.head(x).squeeze()",
        ["Net (nets.py:11) returns (3,) for 3 rows", "unsqueeze(1)"],
    ),
    "a dimension too many": (
        "self.head = nn.Linear(width, out_features) | return self.head(x)[:, :, None]",
        ["Net (nets.py:11) returns (3, 1, 1)", "flatten(1)"],
    ),
    "a loss": (
        "self.head = nn.Linear(width, out_features) | return self.head(x).square().mean()",
        ["Net (nets.py:11) returns ()", "leave the loss to loss="],
    ),
    "a wrong width": (
        "self.one = nn.Linear(width, 8); self.head = nn.Linear(4, out_features) | return self.head(self.one(x))",
        ["nets.py:12, in head (Linear)", "mat1 and mat2"],
    ),
    "a GRU over the batch": (
        "self.rnn = nn.GRU(width, 4); self.head = nn.Linear(4, out_features) | return self.head(self.rnn(x)[0])",
        ["Net (nets.py:11)", "rnn (GRU) takes the rows for the steps of one sequence", "batch_first=True"],
    ),
    "attention over the batch": (
        "self.mix = nn.MultiheadAttention(width, 1); self.head = nn.Linear(width, out_features) | "
        "return self.head(self.mix(x, x, x)[0])",
        ["Net (nets.py:11)", "mix (MultiheadAttention) takes the rows for the steps of one sequence"],
    ),
    "a mean over the batch": (
        "self.head = nn.Linear(width, out_features); nn.init.zeros_(self.head.weight) | "
        "return self.head(x - x.mean(0))",
        ["Net (nets.py:11)", "when other rows are in its batch"],
    ),
    "a softmax over the batch": (
        "self.head = nn.Linear(width, out_features) | return self.head(x).softmax(0)",
        ["Net (nets.py:11)", "when other rows are in its batch"],
    ),
    "the batch's own statistics": (
        "self.norm = nn.BatchNorm1d(width, track_running_stats=False); self.head = nn.Linear(width, out_features) | "
        "return self.head(self.norm(x))",
        ["nets.py:12, in norm (BatchNorm1d)"],
    ),
    "dropout in evaluation": (
        "self.head = nn.Linear(width, out_features) | return self.head(F.dropout(x, 0.5))",
        ["Net (nets.py:11)", "training=self.training"],
    ),
    "more arguments": (
        "self.head = nn.Linear(width, out_features) | mask | return self.head(x)",
        ["Net (nets.py:11)", "missing a required argument: 'mask'", "default"],
    ),
    "no gradient": (
        "self.head = nn.Linear(width, out_features) | return self.head(x).detach()",
        ["Net (nets.py:11)", "leave out detach()"],
    ),
    "layers made in forward": (
        "self.one = nn.Linear(width, 4) |\n        if not hasattr(self, 'head'): self.head = nn.Linear(4, 1)\n"
        "        return self.head(self.one(x))",
        ["Net (nets.py:12) makes head.", "nn.LazyLinear"],
    ),
    "a fixed batch": (
        "self.head = nn.Linear(width, out_features) | return self.head(x.view(32, -1))",
        ["nets.py:12 raises RuntimeError: shape '[32, -1]'"],
    ),
    "float64": (
        "self.head = nn.Linear(width, out_features).double() | return self.head(x)",
        ["nets.py:12, in head (Linear)", "leave out .double()", "64-true"],
    ),
    "an average kept by hand": (
        "self.mean = 0; self.head = nn.Linear(width, out_features) |\n"
        "        if self.training: self.mean = x.mean(0).detach()\n        return self.head(x - self.mean)",
        ["Net (nets.py:10) keeps mean", "self.register_buffer('mean', tensor)"],
    ),
    "nothing that learns": ("self.act = nn.Tanh() | return self.act(x)[:, :1]", ["nothing to train"]),
    "a lazy layer that is not used": (
        "self.extra = nn.LazyLinear(3); self.head = nn.Linear(width, out_features) | return self.head(x)",
        ["Net (nets.py:10) has a lazy layer that forward does not use"],
    ),
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes a network, and makes it `model=net`."""

    def write(code: str) -> None:
        init, *arguments, forward = code.split("|")
        init = init.strip()
        first = "\n        " if "\n" not in forward else ""
        body = forward.rstrip() if not first else first + forward.strip()
        signature = ", ".join(["self", "x", *(each.strip() for each in arguments)])
        own = tmp_path / "own"
        (own / "model").mkdir(parents=True)
        (own / "nets.py").write_text(f"{HEAD}        {init}\n    def forward({signature}):{body}\n")
        (own / "model" / "net.yaml").write_text("# net\n_target_: nets.Net\n_partial_: true\n")
        sys.modules.pop("nets", None)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # code of one second and size would be taken for the same
    return write


OWN = ["--config-dir", "own", "allow_targets=[nets]"]
RUN = [*OWN, "model=net", "data=circles", "data.train_size=64", "logger=none", "figures=none", "run_dir=run"]


@pytest.mark.parametrize("name", TRAIN)
def test_it_trains_and_comes_back_equal(
    name: str, write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(TRAIN[name])
    assert main([*RUN, "trainer.max_epochs=2"]) == 0
    assert capsys.readouterr().err == "", "no false alarm"
    assert main(["evaluate", "run", *OWN, "output=again.json"]) == 0
    again, metrics = (json.loads(Path(file).read_text()) for file in ("again.json", "run/metrics.json"))
    assert again.items() <= metrics.items()


@pytest.mark.parametrize("name", REFUSED)
def test_its_line_is_named(name: str, write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    code, sentences = REFUSED[name]
    write(code)
    monkeypatch.syspath_prepend("own")
    net = importlib.import_module("nets").Net
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="Net") as refusal:
        check(lambda seed: new_network(net, (2,), 1, "32-true", seed), x, 1, SmallestBatch(32, "", ""))
    said = str(refusal.value)
    assert all(sentence in said for sentence in sentences), said


@pytest.mark.parametrize("name", ["a list of layers", "a GRU over the batch", "transposed"])
def test_nothing_is_written_then(name: str, write: Callable[[str], None], refused: Callable[..., str]) -> None:
    code, sentences = REFUSED[name]
    write(code)
    said = refused(*RUN)
    assert all(sentence in said for sentence in sentences), said


def test_weights_without_a_gradient_are_named_and_train(
    write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write("self.extra = nn.Linear(2, 2); self.head = nn.Linear(width, out_features) | return self.head(x)")
    assert main([*RUN, "trainer.max_epochs=2"]) == 0
    said = capsys.readouterr().err
    assert "no gradient reaches extra.weight, extra.bias of Net (nets.py:10)" in said and said.count("\n") == 1
    assert main([*RUN[:-1], "run_dir=other", "trainer.max_epochs=2", "penalty=l2", "optimizer=adamw"]) == 0


NORM = "self.body = nn.Sequential(nn.Linear(width, 8), nn.BatchNorm1d(8), nn.Linear(8, out_features)) | "
NORM += "return self.body(x)"
ONE_LEFT = {
    ("data.train_size=97",): "97 training rows at data.batch_size=32, which has 1 {} use data.batch_size=33",
    ("data.train_size=97", "trainer.accumulate=2"): "which has 1 {} use data.batch_size=33",
    ("data.train_size=11", "data.batch_size=2"): "which has 1 {} use data.batch_size=3",
    ("data.batch_size=1",): "which has 1 {} use data.batch_size=2",
}


@pytest.mark.parametrize("words", ONE_LEFT, ids=" ".join)
def test_a_last_batch_of_one_row_is_refused_under_batch_normalization(
    words: tuple[str, ...], write: Callable[[str], None], refused: Callable[..., str]
) -> None:
    write(NORM)
    said = refused(*RUN, *words)
    first, second = ONE_LEFT[words].split(" {} ")
    assert first in said and "in body.1 (BatchNorm1d)" in said and second in said


@pytest.mark.parametrize("words", [("data.train_size=98",), ("trainer.max_steps=2",), ("data.batch_size=full",)])
def test_a_last_batch_of_one_row_that_never_comes_is_no_obstacle(
    words: tuple[str, ...], write: Callable[[str], None]
) -> None:
    write(NORM)
    assert main([*RUN, "data.train_size=97", "trainer.max_epochs=1", *words]) == 0


def test_lazy_layers_are_initialized(write: Callable[[str], None]) -> None:
    write(TRAIN["lazy"])
    losses = {}
    for init in ("default", "zeros", "he_normal", "orthogonal"):
        words = [*RUN[:-1], f"run_dir={init}", f"init={init}", "optimizer=gd", "optimizer.lr=1e-12"]
        assert main([*words, "trainer.max_epochs=1"]) == 0
        losses[init] = json.loads(Path(init, "metrics.json").read_text())["train/loss"]
    assert losses["zeros"] == pytest.approx(math.log(2), abs=1e-6) and len(set(losses.values())) == 4


BEFORE = "self.body = nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, 1)) | return self.body(x)"
AFTER = {
    "a layer more": ("nn.Tanh()", "nn.Tanh(), nn.Linear(8, 8)", "without body.3.weight [1, 8], body.3.bias [1]"),
    "a layer less": ("nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, 1)", "nn.Linear(width, 1)", "with body.2.weight"),
    "another width": ("8", "9", "of another size: body.0.weight [8, 2], here [9, 2]"),
    "another name": ("self.body", "self.net", "without net.0.weight [8, 2]"),
}


@pytest.mark.parametrize("change", AFTER)
def test_code_that_has_changed_is_named_and_the_run_stays_as_it_was(
    change: str, write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}

    write(BEFORE)
    assert main([*RUN, "trainer.max_epochs=1"]) == 0
    before = files()
    old, new, sentence = AFTER[change]
    code = Path("own/nets.py")
    code.write_text(code.read_text().replace(old, new))
    for words in (["evaluate", "run"], ["resume=run", "trainer.max_epochs=4"]):
        sys.modules.pop("nets", None)
        assert main([*words, *OWN]) == 1
        said = capsys.readouterr().err
        assert sentence in said and "Net (nets.py:7)" in said and "the network's code" in said
        assert files() == before
