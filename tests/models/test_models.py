"""The architectures: shapes, parameters, activations, and dropout by a hash."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from numpy.testing import assert_allclose
from torch import Tensor, nn

import fulmen
from fulmen.models.activations import ACTIVATIONS, OUTPUT_ACTIVATIONS
from fulmen.models.dropout import Dropout, dropouts
from fulmen.models.lenet import LeNet
from fulmen.models.mlp import MLP, activation_layer

PLUS_MINUS = np.linspace(-6, 6, 101)


def erf(x: Any) -> Any:
    return np.vectorize(math.erf)(x)


FORMULAS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
    "gelu": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    "identity": lambda x: x,
}


def parameter_count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_their_formulas(name: str) -> None:
    found = activation_layer(name)(torch.from_numpy(PLUS_MINUS))
    assert_allclose(found, FORMULAS[name](PLUS_MINUS), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_hidden_layer_has_its_activation_and_the_last_has_none(name: str) -> None:
    net = MLP((1,), 1, hidden=[1], activation=name).double()
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), (2.0, 0.5, -3.0, 1.0), strict=True):
            parameter.fill_(value)
    found = net(torch.from_numpy(PLUS_MINUS).unsqueeze(1)).detach().flatten()
    assert_allclose(found, 1 - 3 * FORMULAS[name](2 * PLUS_MINUS + 0.5), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OUTPUT_ACTIVATIONS)
@pytest.mark.parametrize("architecture", ["mlp", "lenet"])
def test_an_output_activation_comes_last(name: str, architecture: str) -> None:
    def build(output: str) -> nn.Module:
        torch.manual_seed(0)
        if architecture == "lenet":
            return LeNet((1, 12, 12), 3, output_activation=output)
        return MLP((1, 12, 12), 3, hidden=[4], output_activation=output)

    x = torch.randn(5, 1, 12, 12)
    raw, found = build("identity")(x).detach(), build(name)(x).detach()
    exponential = raw.exp().numpy()
    softmax = exponential / exponential.sum(1, keepdims=True)
    assert_allclose(found, softmax if name == "softmax" else FORMULAS[name](raw.numpy()), rtol=1e-4, atol=1e-6)
    assert build(name).output_activation == name


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"there is no activation 'rely'; did you mean relu\? the choices are sigmoid, tanh, .*softmax"
    ):
        activation_layer("rely")


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["model=perceptron", "data=gaussian"], 490),  # 48 × 10 + 10
        (["model=linear", "data=linear_1d"], 2),
        (["model=linear", "data=regression_3d"], 4),
        (["model=shallow", "data=wiggle", "model.hidden=[3]"], 10),  # 3 + 3 and 3 + 1
        (["model=shallow", "data=sine_boundary"], 41),  # 2 × 10 + 10 and 10 + 1
        (["model=deep", "data=sine_boundary"], 501),  # 2 × 20 + 20, 20 × 20 + 20 and 20 + 1
        (["model=two_layer", "data=linear_1d"], 200),  # no biases
        (["model=feedforward", "data=gaussian"], 600),  # 48 × 10 + 10 and 10 × 10 + 10
        (["model=mlp", "data=mnist_5k", "model.hidden=[30, 20]"], 24_380),  # 784 × 30 + 30, 600 + 20, 200 + 10
        (["model=lenet", "data=mnist_5k"], 61_706),  # as in LeCun's paper, but for its sparse third layer
        (["model=lenet", "data=mnist_5k", "model.bias=false"], 61_706 - 236),  # 6 + 16 + 120 + 84 + 10
    ],
)
def test_parameters_are_as_many_as_the_layers_have(words: list[str], count: int) -> None:
    config = fulmen.compose(words)
    spec = instantiate(config.data).spec
    net = instantiate(config.model)(spec.in_shape, spec.out_features)
    assert parameter_count(net) == count
    assert net(torch.zeros(3, *spec.in_shape)).shape == (3, spec.out_features)


@pytest.mark.parametrize("in_shape", [(7,), (3, 4), (2, 5, 6)])
@pytest.mark.parametrize("hidden", [(), (4,), (4, 5, 6)])
def test_an_mlp_takes_rows_of_any_shape(in_shape: tuple[int, ...], hidden: tuple[int, ...]) -> None:
    net = MLP(in_shape, 3, hidden=hidden, activation="tanh")
    x = torch.randn(6, *in_shape)
    assert net(x).shape == (6, 3)
    flat = MLP((math.prod(in_shape),), 3, hidden=hidden, activation="tanh")
    flat.load_state_dict(dict(zip(flat.state_dict(), net.state_dict().values(), strict=True)))
    assert torch.equal(net(x), flat(x.reshape(6, -1)))


@pytest.mark.parametrize(("height", "width"), [(12, 12), (13, 12), (28, 28), (29, 31), (32, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_lenet_takes_images_of_any_size_from_12(channels: int, height: int, width: int) -> None:
    assert LeNet((channels, height, width), 10)(torch.zeros(2, channels, height, width)).shape == (2, 10)


@pytest.mark.parametrize("in_shape", [(2,), (28, 28), (1, 11, 28), (1, 28, 11)])
def test_lenet_says_what_it_needs(in_shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="needs images") as caught:
        LeNet(in_shape, 10)
    sentence = str(caught.value)
    assert str(in_shape) in sentence and "12" in sentence and "mlp" in sentence and "data=mnist_5k" in sentence


@pytest.mark.parametrize("net", [MLP((4,), 2, hidden=[8, 8], dropout=0.4), LeNet((1, 12, 12), 2, dropout=0.4)])
def test_dropout_follows_each_hidden_linear_layer(net: nn.Module) -> None:
    kinds = [type(layer).__name__ for layer in net.modules()]
    places = [place for place, kind in enumerate(kinds) if kind == "Dropout"]
    assert len(places) == 2
    assert all(kinds[place - 2 : place] == ["Linear", "ReLU"] for place in places)
    assert places[-1] < len(kinds) - 1, "none after the last layer"


ONES = torch.ones(200, 1000, dtype=torch.float64)


def mask(p: float = 0.3, *, seed: int = 0, place: int = 0, step: int = 0, x: Tensor = ONES) -> Tensor:
    """The output of the dropout layer at `place` in a network."""
    net = nn.Sequential(*(Dropout(p) for _ in range(place + 1)))
    layer = dropouts(net, seed)[place]
    layer.step.fill_(step)
    out: Tensor = layer(x)
    return out


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("step", [0, 1, 10**9])
def test_dropout_keeps_its_share_and_the_mean(p: float, step: int) -> None:
    out = mask(p, step=step)
    n = out.numel()
    kept = (out != 0).double().mean().item()
    assert abs(kept - (1 - p)) <= 4 * math.sqrt(p * (1 - p) / n)
    assert_allclose(out[out != 0], 1 / (1 - p))
    assert abs(out.mean().item() - 1) <= 4 * math.sqrt(p / (1 - p) / n)


@pytest.mark.parametrize("dim", [0, 1])
def test_dropout_favours_no_row_and_no_column(dim: int) -> None:
    """The share kept in each scatters as in independent draws: chi-squared with as many degrees of freedom."""
    kept = (mask() != 0).double().mean(dim)
    n, count = ONES.shape[dim], len(kept)
    chi_squared = ((kept - 0.7) ** 2 * n / 0.21).sum().item()
    assert abs(chi_squared - count) < 4 * math.sqrt(2 * count)


def test_dropout_is_a_function_of_seed_layer_and_step() -> None:
    assert torch.equal(mask(seed=5, place=2, step=7), mask(seed=5, place=2, step=7))
    assert torch.equal(mask(seed=2**32 - 1), mask(seed=2**32 - 1))


@pytest.mark.parametrize("other", [{"seed": 1}, {"place": 1}, {"step": 1}])
def test_dropout_differs_by_each_of_them(other: dict[str, int]) -> None:
    """Independent masks agree in a share p² + (1 - p)² of the positions."""
    agreement = ((mask() != 0) == (mask(**other) != 0)).double().mean().item()  # type: ignore[arg-type]
    assert abs(agreement - 0.58) <= 4 * math.sqrt(0.58 * 0.42 / ONES.numel())


def test_dropout_leaves_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    mask()
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_does_nothing_in_evaluation() -> None:
    layer = Dropout(0.5).eval()
    assert torch.equal(layer(ONES), ONES)


def test_gradients_pass_where_values_do() -> None:
    x = torch.randn(20, 30, requires_grad=True)
    layer = Dropout(0.4)
    layer(x).sum().backward()
    assert x.grad is not None
    assert_allclose(x.grad, torch.where(layer(x) != 0, 1 / 0.6, 0.0))


def test_dropout_has_nothing_in_checkpoints() -> None:
    assert Dropout(0.5).state_dict() == {}


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_dropout_refuses_what_is_no_share(p: float) -> None:
    with pytest.raises(ValueError, match=f"model.dropout is {p}, but"):
        Dropout(p)
