"""The check of a network leaves no trace, and sees what depends on the data's shape."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fulmen.models.initializers import new_network
from fulmen.models.network_check import SmallestBatch, check

X = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
GLOBAL = nn.Parameter(torch.ones(1))


def checked(make: Callable[..., nn.Module], x: Tensor = X, out_features: int = 1, rows: int = 32) -> list[str]:
    def new(seed: int) -> nn.Module:
        return new_network(make, tuple(x.shape[1:]), out_features, "32-true", seed)

    return check(new, x, out_features, SmallestBatch(rows, "a batch of one", "use another"))


class Own(nn.Sequential):
    """Layers that a test names."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)


def made(*layers: Callable[[], nn.Module]) -> Callable[..., nn.Module]:
    return lambda **_: Own(*(layer() for layer in layers))


def test_random_numbers_and_rows_are_as_before() -> None:
    class Noisy(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            noise = torch.rand(()).item() + random.random() + np.random.rand()
            return super().forward(input + noise if self.training else input)

    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), X.clone()  # type: ignore[index]
    assert checked(lambda **_: Noisy(2, 1)) == []
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), X  # type: ignore[index]
    assert torch.equal(before[0], after[0]) and before[1:3] == after[1:3] and torch.equal(before[3], after[3])


FITS: dict[str, tuple[Callable[..., nn.Module], Tensor, int]] = {
    "images": (made(lambda: nn.Conv2d(1, 2, 3), lambda: nn.BatchNorm2d(2), nn.Flatten, lambda: nn.Linear(72, 3)),
               torch.randn(8, 1, 8, 8), 3),
    "one row": (made(lambda: nn.Linear(2, 4)), X[:1], 4),
    "equal rows": (made(lambda: nn.Linear(2, 3)), torch.ones(5, 2), 3),
    "large numbers": (made(lambda: nn.Linear(2, 50), nn.Tanh, lambda: nn.Linear(50, 1)), 1e6 * X, 1),
    "many layers": (made(lambda: nn.Sequential(*(part for _ in range(40) for part in (nn.Linear(2, 2), nn.Tanh()))),
                         lambda: nn.Linear(2, 1)), X, 1),
    "a transformer": (made(lambda: nn.Unflatten(1, (1, 2)),
                           lambda: nn.TransformerEncoderLayer(2, 1, 4, batch_first=True),
                           nn.Flatten, lambda: nn.Linear(2, 1)), X, 1),
    "spectral norm": (made(lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 1))), X, 1),
    "instance norm": (made(lambda: nn.InstanceNorm2d(1), nn.Flatten, lambda: nn.Linear(64, 1)),
                      torch.randn(8, 1, 8, 8), 1),
    "group norm": (made(lambda: nn.Linear(2, 4), lambda: nn.GroupNorm(2, 4), lambda: nn.Linear(4, 1)), X, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_what_is_right_is_not_refused(name: str) -> None:
    make, x, out_features = FITS[name]
    assert checked(make, x, out_features, rows=1) == []


def test_a_transposed_output_is_seen_whatever_the_number_of_columns() -> None:
    class Transposed(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input).T

    for out_features in range(1, 7):
        with pytest.raises(ValueError, match="rows come first"):
            checked(lambda out_features, **_: Transposed(2, out_features), X, out_features)


def test_a_weight_that_is_nobodys_is_found_by_its_gradient() -> None:
    class Borrowing(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) * GLOBAL

    with pytest.raises(
        ValueError, match=r"Borrowing \(test_network_check.py:\d+\) .* shape \[1\] that requires a grad"
    ):
        checked(lambda **_: Borrowing(2, 1))
    assert GLOBAL.grad is None


def test_hidden_layers_that_learn_nothing_and_change_nothing_are_let_be() -> None:
    class Distilled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 1)
            self.teacher = [nn.Linear(2, 1).requires_grad_(False)]

        def forward(self, input: Tensor) -> Tensor:
            if self.training:
                self.gap = (self.teacher[0](input) - super().forward(input)).mean().item()
            return super().forward(input)

    assert checked(lambda **_: Distilled()) == []


def test_a_network_that_keeps_a_state_between_calls_is_refused() -> None:
    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.h = nn.GRUCell(2, 1), torch.zeros(1, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = self.cell(x, self.h.expand(len(x), -1))
            self.h = h.detach()[-1:]
            return torch.as_tensor(h)

    with pytest.raises(ValueError, match="returns another output in evaluation mode each time"):
        checked(lambda **_: Stateful())


@pytest.mark.parametrize(
    ("layer", "of_classes", "activation"),
    [(nn.Sigmoid, True, "sigmoid"), (lambda: nn.Softmax(1), True, "softmax"), (nn.Sigmoid, False, None)],
)
def test_probabilities_where_raw_scores_are_wanted_are_said(
    layer: Callable[[], nn.Module], of_classes: bool, activation: str | None
) -> None:
    make = made(lambda: nn.Linear(2, 3), layer)
    notes = check(
        lambda seed: new_network(make, (2,), 3, "32-true", seed), X, 3, SmallestBatch(32, "", ""), of_classes=of_classes
    )
    assert len(notes) == (activation is not None)
    assert all(f"self.output_activation = '{activation}'" in note for note in notes)


def test_the_gradient_of_the_input_may_be_wanted() -> None:
    class Field(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            with torch.enable_grad():
                input = input if input.is_leaf and input.requires_grad else input.detach().requires_grad_()
                energy = super().forward(input).square().sum()
                return torch.autograd.grad(energy, input, create_graph=True)[0][:, :1]

    assert checked(lambda **_: Field(2, 1)) == []


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (lambda: nn.LSTM(4, 4, batch_first=True), "0 (LSTM) takes the rows"),
        (lambda: nn.RNN(4, 4), "0 (RNN) takes the rows"),
        (lambda: nn.TransformerEncoderLayer(4, 1, 4), "0 (TransformerEncoderLayer) takes the rows"),
    ],
)
def test_a_layer_that_takes_rows_for_steps_is_named(layer: Callable[[], nn.Module], sentence: str) -> None:
    class First(Own):
        def forward(self, x: Tensor) -> Tensor:
            out = self[0](x)
            return torch.as_tensor(self[1](out[0] if isinstance(out, tuple) else out))

    with pytest.raises(ValueError, match="when other rows are in its batch") as refusal:
        checked(lambda **_: First(layer(), nn.Linear(4, 1)), torch.cat([X, X.flip(0)], 1))
    assert sentence in str(refusal.value)


class Base(nn.Module):
    """Two layers, with something between them or after them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(2, 4), nn.Linear(4, 1)
        self.h: Tensor | None = None

    def between(self, x: Tensor) -> Tensor:
        return x

    def after(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.head(self.between(self.first(x))))


NO_NUMBERS: dict[str, tuple[str, Callable[[Base, Tensor], Tensor], str]] = {
    "nan": ("between", lambda net, x: x.log(), "returns nan for rows of finite numbers"),
    "nan in training": ("between", lambda net, x: x / (0 if net.training else 1), "returns nan"),
    "inf": ("after", lambda net, x: x.exp() / 0, "returns inf for rows of finite numbers"),
    "a slope": ("between", lambda net, x: x + (x - x).norm(dim=1, keepdim=True).sqrt(), "finite for first.weight"),
    "complex": ("after", lambda net, x: x.to(torch.complex64), "returns numbers of the kind complex64"),
    "classes": ("after", lambda net, x: x > 0, "returns numbers of the kind bool"),
    "sparse": ("after", lambda net, x: x.to_sparse(), "returns numbers of the kind sparse_coo"),
    "a leaf": ("after", lambda net, x: nn.Parameter(x), "does not follow from its parameters"),
}


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_outputs_that_no_loss_can_learn_from_are_refused(name: str) -> None:
    where, function, sentence = NO_NUMBERS[name]
    with pytest.raises(ValueError, match=sentence):
        checked(lambda **_: type("Net", (Base,), {where: function})())


def test_a_class_that_is_ruled_out_and_weights_that_may_not_be_negative_are_let_be() -> None:
    class Masked(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) + torch.tensor([0.0, 0.0, -torch.inf])

    class Variance(nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 1)
            self.variance = nn.Parameter(torch.full((50,), 1e-4))

        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) * self.variance.log().mean()

    assert checked(lambda **_: Masked(2, 3), X, 3) == []
    assert checked(lambda **_: Variance()) == []


def test_rows_too_large_for_the_network_are_no_fault_of_its_code() -> None:
    class Squared(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input.square())

    assert checked(lambda **_: Squared(2, 1), 1e30 * X) == []


def test_a_state_that_carries_its_gradient_to_the_next_batch_is_refused() -> None:
    class Carrying(Base):
        detached = False

        def between(self, x: Tensor) -> Tensor:
            if not self.training:
                return x
            x = x.tanh() if self.h is None or len(self.h) != len(x) else x * self.h
            self.h = x.detach() if self.detached else x
            return x

    class Detached(Carrying):
        detached = True

    with pytest.raises(ValueError, match=r"Carrying \(test_network_check.py:\d+\) keeps h from one batch to the next"):
        checked(lambda **_: Carrying())
    assert checked(lambda **_: Detached()) == []


def test_an_output_that_is_always_the_same_is_said() -> None:
    notes = checked(made(lambda: nn.Linear(2, 1), lambda: nn.Softmax(1)))
    assert len(notes) == 1
    assert "every gradient of Own" in notes[0]
    assert checked(made(lambda: nn.Linear(2, 3), lambda: nn.Softmax(1)), X, 3) == []


def test_a_compiled_network_is_checked_without_compiling_it(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = torch.distributions.Distribution
    monkeypatch.setattr(checks, "_validate_args", checks._validate_args)  # torch.compile switches it off
    compiled = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        compiled.append(inputs)
        return graph.forward

    assert checked(lambda **_: Own(torch.compile(nn.Linear(2, 1), backend=backend))) == []  # type: ignore[arg-type]
    assert not compiled
    torch.compile(nn.Linear(2, 1), backend=backend)(X)
    assert compiled
