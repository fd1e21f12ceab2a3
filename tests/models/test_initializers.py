"""Initializers against their definitions, by the statistics of large layers."""

import functools
import math
from collections.abc import Callable

import pytest
import torch
from hydra.utils import instantiate
from numpy.testing import assert_allclose
from torch import Tensor, nn

import fulmen
from fulmen.models import initializers

Init = Callable[[nn.Module], None]
FAN_IN, FAN_OUT = 600, 300

NORMAL = {
    "normal": 0.02,
    "xavier_normal": math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "he_normal": math.sqrt(2 / FAN_IN),
    "lecun_normal": math.sqrt(1 / FAN_IN),
}
"""Standard deviations."""
UNIFORM = {
    "xavier_uniform": math.sqrt(6 / (FAN_IN + FAN_OUT)),
    "he_uniform": math.sqrt(6 / FAN_IN),
    "lecun_uniform": math.sqrt(3 / FAN_IN),
    "default": math.sqrt(1 / FAN_IN),
}
"""Bounds."""
WITH_BIAS_RULE = sorted({*NORMAL, *UNIFORM, "orthogonal"} - {"default"})


@functools.cache
def initializer(name: str, **keys: object) -> Init:
    words = [f"init={name}", *(["init.std=0.02"] if name == "normal" else [])]
    made: Init = instantiate(fulmen.compose(words).init, **keys)
    return made


def linear() -> nn.Linear:
    return nn.Linear(FAN_IN, FAN_OUT)


def convolution() -> nn.Conv2d:
    """With the same fans: 24 · 5² inputs, 12 · 5² outputs."""
    return nn.Conv2d(24, 12, 5)


def filled(name: str, layer: nn.Linear | nn.Conv2d) -> Tensor:
    torch.manual_seed(0)
    if name == "default":
        layer.reset_parameters()
    initializer(name)(layer)
    return layer.weight.detach()


def assert_moments(values: Tensor, std: float, kurtosis: float) -> None:
    """Mean 0 and the deviation, within 4 standard errors; `kurtosis` is the fourth moment in units of deviation⁴."""
    n = values.numel()
    assert abs(values.mean().item()) < 4 * std / math.sqrt(n)
    assert abs(values.var().item() / std**2 - 1) < 4 * math.sqrt((kurtosis - 1) / n)


@pytest.mark.parametrize("make", [linear, convolution])
@pytest.mark.parametrize("name", NORMAL)
def test_normal_initializers(name: str, make: Callable[[], nn.Linear | nn.Conv2d]) -> None:
    weight = filled(name, make())
    assert_moments(weight, NORMAL[name], kurtosis=3)
    beyond = (weight.abs() > 2 * NORMAL[name]).double().mean().item()
    assert abs(beyond - 0.0455) < 4 * math.sqrt(0.0455 / weight.numel()), "no normal distribution"


@pytest.mark.parametrize("make", [linear, convolution])
@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_initializers(name: str, make: Callable[[], nn.Linear | nn.Conv2d]) -> None:
    weight, bound = filled(name, make()), UNIFORM[name]
    assert_moments(weight, bound / math.sqrt(3), kurtosis=9 / 5)
    assert 0.99 * bound < weight.abs().max() <= bound


@pytest.mark.parametrize(("rows", "columns"), [(30, 50), (50, 30), (40, 40)])
def test_orthogonal_rows_or_columns(rows: int, columns: int) -> None:
    layer = nn.Linear(columns, rows)
    initializer("orthogonal")(layer)
    weight = layer.weight.detach()
    gram = weight @ weight.T if rows <= columns else weight.T @ weight
    assert_allclose(gram, torch.eye(min(rows, columns)), atol=1e-5)


def test_zeros_fills_weights_and_biases() -> None:
    layer = linear()
    initializer("zeros")(layer)
    assert not layer.weight.any() and not layer.bias.any()


@pytest.mark.parametrize("name", WITH_BIAS_RULE)
def test_biases_are_zero_on_demand(name: str) -> None:
    layer = linear()
    initializer(name, bias="zeros")(layer)
    assert layer.weight.any() and not layer.bias.any()


@pytest.mark.parametrize(
    ("name", "std"),
    [  # a row [1, n]: n inputs, one output
        ("normal", 0.02),
        ("xavier_uniform", math.sqrt(2 / 5001)),
        ("xavier_normal", math.sqrt(2 / 5001)),
        ("he_uniform", math.sqrt(2 / 5000)),
        ("he_normal", math.sqrt(2 / 5000)),
        ("lecun_uniform", math.sqrt(1 / 5000)),
        ("lecun_normal", math.sqrt(1 / 5000)),
        ("orthogonal", math.sqrt(1 / 5000)),
    ],
)
def test_biases_follow_the_weights_on_demand(name: str, std: float) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(2, 5000)
    initializer(name, bias="same")(layer)
    assert_moments(layer.bias.detach(), std, kurtosis=3)


@pytest.mark.parametrize("name", sorted({*WITH_BIAS_RULE, "zeros"}))
@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(8),
        nn.LayerNorm(8),
        nn.GroupNorm(2, 8),
        nn.PReLU(8),
        nn.LayerNorm((3, 4)),
    ],
    ids=str,
)
def test_layers_without_a_matrix_are_left_as_they_are(name: str, layer: nn.Module) -> None:
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    initializer(name)(nn.Sequential(nn.Linear(4, 8), layer))
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())


@pytest.mark.parametrize("name", WITH_BIAS_RULE)
def test_every_layer_is_filled_and_none_twice_alike(name: str) -> None:
    first, inner, last = nn.Linear(6, 6), nn.Linear(6, 6, bias=False), nn.Conv1d(1, 2, 3)
    for layer in (first, inner, last):
        nn.init.zeros_(layer.weight)
    initializer(name)(nn.Sequential(first, nn.Sequential(inner), last))
    assert all(layer.weight.any() for layer in (first, inner, last))
    assert not torch.equal(first.weight, inner.weight)


def test_default_changes_nothing() -> None:
    layer = linear()
    before = layer.weight.clone()
    initializers.default(layer)
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("name", WITH_BIAS_RULE)
def test_values_follow_from_torchs_generator(name: str) -> None:
    """So a run's seed decides them."""
    fill = functools.partial(filled, name)
    assert torch.equal(fill(linear()), fill(linear()))
