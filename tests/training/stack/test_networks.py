"""Stacked steps are those of a plain loop for each network; a network that does more than stacked tensors can is named.

The loop is torch alone: a network, its loss, `backward`, torch's optimizer.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fulmen.data.tensors import Batch
from fulmen.errors import Impossible
from fulmen.models.dropout import Dropout
from fulmen.tasks import losses
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.penalties import Penalize, Penalty
from fulmen.tasks.task import Task
from fulmen.training.recipe import Recipe
from fulmen.training.stack.checks import check
from fulmen.training.stack.networks import Stack, obstacle

TASK = Task("regression", 2)
COPIES, ROWS, STEPS = 3, 6, 12
RATES = (0.01, 0.1, 0.03)


class Net(nn.Module):
    """A network whose layers and whose way through them are given."""

    def __init__(self, forward: Callable[["Net", Tensor], Tensor], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self.way = forward

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def linear(width: int = 4, out: int = 2, **options: Any) -> nn.Linear:
    return nn.Linear(width, out, **options)


def keep_mean(net: Net, x: Tensor) -> Any:
    if net.training:
        net.mean = 0.9 * net.mean + 0.1 * x.detach().mean(0)
    return net.head(x - net.mean)


def keep_mean_in_place(net: Net, x: Tensor) -> Any:
    if net.training:
        net.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        net.seen += 1
    return net.head(x - net.mean) / net.seen


def tied() -> Net:
    one, two = linear(4, 4), linear(4, 4)
    two.weight = one.weight
    return Net(lambda net, x: net.head(net.two(net.one(x).tanh()).tanh()), one=one, two=two, head=linear())


def convolution() -> Net:
    parts = {"up": linear(4, 16), "conv": nn.Conv2d(1, 3, 3, padding=1), "pool": nn.MaxPool2d(2), "head": linear(12)}
    return Net(lambda net, x: net.head(net.pool(net.conv(net.up(x).view(-1, 1, 4, 4)).relu()).flatten(1)), **parts)


def frozen() -> Net:
    one, norm = linear(4, 4).requires_grad_(False), nn.BatchNorm1d(4).eval()
    return Net(lambda net, x: net.head(net.norm(net.one(x)).relu()), one=one, norm=norm, head=linear())


def hooked() -> Net:
    head = linear()
    head.register_forward_hook(lambda layer, inputs, out: out * 2)
    return Net(lambda net, x: net.head(x), head=head)


MADE: dict[str, Callable[[], nn.Module]] = {
    "batch normalization": lambda: nn.Sequential(linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), linear(8)),
    "layer normalization": lambda: nn.Sequential(linear(4, 8), nn.LayerNorm(8), nn.Tanh(), linear(8)),
    "convolution": convolution,
    "tied weights": tied,
    "a layer twice": lambda: Net(lambda net, x: net.head(net.one(net.one(x).tanh())), one=linear(4, 4), head=linear()),
    "frozen weights": frozen,
    "a hook": hooked,
    "a number": lambda: Net(lambda net, x: net.head(x) * net.scale, head=linear(), scale=nn.Parameter(torch.rand(()))),
    "weights that are not used": lambda: Net(lambda net, x: net.head(x), head=linear(), extra=linear()),
    "a buffer of its own": lambda: Net(lambda net, x: net.head(x @ net.mix), head=linear(), mix=torch.randn(4, 4)),
    "a buffer that changes": lambda: Net(keep_mean, head=linear(), mean=torch.zeros(4)),
    "buffers that change in place": lambda: Net(
        keep_mean_in_place, head=linear(), mean=torch.zeros(4), seen=torch.ones((), dtype=torch.int64)
    ),
    "another way in evaluation": lambda: Net(lambda net, x: net.head(x) * (1 if net.training else 2), head=linear()),
    "a branch by row": lambda: Net(
        lambda net, x: torch.where(x[:, :1] > 0, net.head(x), net.head(2 * x)), head=linear()
    ),
}


def count(net: Any, x: Tensor) -> Any:
    net.calls += 1
    return net.head(x) if net.calls < 100 else 2 * net.head(x)


def count_in_a_list(net: Net, x: Tensor) -> Tensor:
    net.calls.append(1)
    out: Tensor = net.head(x)
    return out if len(net.calls) < 100 else 2 * out


def remember(net: Net, x: Tensor) -> Any:
    net.last = net.head(x)
    return net.last


def decide(net: Net, x: Tensor) -> Any:
    return net.head(x) if x.sum() > 0 else net.head(2 * x)


def decide_in_evaluation(net: Net, x: Tensor) -> Any:
    return net.head(x) if net.training or net.head.weight.sum() > 0 else net.head(2 * x)


def attend(net: Net, x: Tensor) -> Any:
    steps = x.view(-1, 2, 2)
    return net.head(net.mix(steps, steps, steps)[0].flatten(1))


def behind_its_back(net: Net, x: Tensor) -> Any:
    return x @ net.kept[0].T + net.head.bias


def alias() -> Net:
    head = linear()
    return Net(behind_its_back, head=head, kept=[head.weight])


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "torch's dropout": (lambda: nn.Sequential(nn.Dropout(0.5), linear()), "draws random numbers"),
    "random numbers": (lambda: Net(lambda net, x: net.head(x + torch.randn_like(x)), head=linear()), "draws random"),
    "an LSTM": (
        lambda: Net(lambda net, x: net.rnn(x.unsqueeze(2))[0][:, -1], rnn=nn.LSTM(1, 2, batch_first=True)),
        "torch cannot stack aten::lstm",
    ),
    "attention": (
        lambda: Net(attend, mix=nn.MultiheadAttention(2, 2, batch_first=True), head=linear()),
        "torch cannot stack aten::_native_multi_head_attention",
    ),
    "a mean over all": (lambda: nn.Sequential(nn.BatchNorm1d(4, momentum=None), linear()), "decides by values"),
    "a decision": (lambda: Net(decide, head=linear()), "decides by values"),
    "a decision in evaluation": (lambda: Net(decide_in_evaluation, head=linear()), "decides by values"),
    "a number of Python": (
        lambda: Net(lambda net, x: net.head(x) * x.sum().item(), head=linear()),
        "decides by values",
    ),
    "a count of calls": (lambda: Net(count, head=linear(), calls=0), "sets calls in each pass"),
    "a list of calls": (lambda: Net(count_in_a_list, head=linear(), calls=[]), "sets calls in each pass"),
    "what it found last": (lambda: Net(remember, head=linear(), last=None), "sets last in each pass"),
    "a tensor that is no buffer": (
        lambda: Net(lambda net, x: net.head(x * net.c[0]), head=linear(), c=[torch.ones(4, dtype=torch.float64)]),
        "a tensor that is neither its parameter nor its buffer",
    ),
    "a parameter by another way": (alias, "a tensor that is neither its parameter nor its buffer"),
    "nothing to train": (lambda: linear().requires_grad_(False), "no weights to train"),
}


def networks(make: Callable[[], nn.Module], dtype: torch.dtype = torch.float64) -> list[nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [make().to(dtype) for _ in range(COPIES)]


def rows(step: int) -> Batch:
    """The rows of a step for each copy: [C, B, 4] and [C, B, 2]."""
    generator = torch.Generator().manual_seed(step)
    sizes = (COPIES, ROWS if step % 3 else ROWS - 2)  # some batches are smaller
    x, y = (torch.randn(*sizes, width, generator=generator, dtype=torch.float64) for width in (4, 2))
    return Batch(x, y)


def recipes(optimizer: Callable[..., Any], penalty: Any = None, loss: Any = None) -> list[Recipe]:
    return [
        Recipe(
            loss=loss or losses.mse(),
            penalty=penalty,
            optimizer=functools.partial(optimizer, lr=rate),
            scheduler=None,
            backprop=None,
            gradient_clip=None,
            accumulate=1,
            seed=seed,
        )
        for seed, rate in enumerate(RATES)
    ]


def stacked(nets: Sequence[nn.Module], of: Sequence[Recipe], batch_size: int = ROWS) -> Stack:
    evaluation = Evaluation(copy.deepcopy(nets[0]), TASK, of[0].loss, "64-true")
    return Stack(
        evaluation,
        (4,),
        [copy.deepcopy(net) for net in nets],
        of,
        gradient_clip=None,
        batch_size=batch_size,
        batch_rows=ROWS,
        device=torch.device("cpu"),
    )


def trained(stack: Stack) -> list[nn.Module]:
    """The networks after some steps of the stack."""
    rates = torch.tensor(RATES, dtype=torch.float64).unsqueeze(1)
    check(stack, rows(1))
    for step in range(STEPS):
        stack.step(rows(step), step, rates)
    return [
        stack.network(place, stack.weights[place], {name: values[place] for name, values in stack.buffers.items()})
        for place in range(COPIES)
    ]


def mean(net: nn.Module, out: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(out, y)


def looped(net: nn.Module, place: int, recipe: Recipe, objective: Callable[..., Tensor] = mean) -> nn.Module:
    """The network after as many steps of a plain loop."""
    optimizer = recipe.optimizer([p for p in net.parameters() if p.requires_grad])
    for step in range(STEPS):
        x, y = (values[place] for values in rows(step))
        optimizer.zero_grad()
        torch.autograd.backward(objective(net, net(x), y))
        optimizer.step()
    return net


def assert_same(one: nn.Module, other: nn.Module) -> None:
    a, b = one.state_dict(), other.state_dict()
    assert [*a] == [*b]
    torch.testing.assert_close(dict(a), dict(b), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MADE)
def test_a_network_of_ones_own(name: str) -> None:
    nets = networks(MADE[name])
    # a bias before a normalization has no gradient but rounding, which Adam would make large
    optimizer = functools.partial(torch.optim.SGD, momentum=0.9, weight_decay=0.1)
    of = recipes(optimizer)
    for place, net in enumerate(trained(stacked(nets, of))):
        assert_same(net, looped(nets[place], place, of[place]))


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_be_stacked_is_named(name: str) -> None:
    make, sentence = REFUSED[name]
    nets = networks(make)
    with pytest.raises(Impossible, match=sentence):
        check(stacked(nets, recipes(torch.optim.SGD)), rows(1))


def test_the_stack_leaves_the_networks_as_they_were() -> None:
    nets = networks(MADE["batch normalization"])
    before = [copy.deepcopy(net.state_dict()) for net in nets]
    stack = stacked(nets, recipes(torch.optim.SGD))
    first, buffers = stack.weights.clone(), {name: values.clone() for name, values in stack.buffers.items()}
    check(stack, rows(1))
    assert torch.equal(stack.weights, first)
    assert all(torch.equal(values, buffers[name]) for name, values in stack.buffers.items())
    for net, state in zip(nets, before, strict=True):
        assert all(torch.equal(values, state[name]) for name, values in net.state_dict().items())


OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "amsgrad": functools.partial(torch.optim.Adam, amsgrad=True),
    "decoupled": functools.partial(torch.optim.AdamW, weight_decay=0.1),
    "centered": functools.partial(torch.optim.RMSprop, centered=True, momentum=0.5),
    "nadam": functools.partial(torch.optim.NAdam, weight_decay=0.1, decoupled_weight_decay=True),
    "adamax": torch.optim.Adamax,
    "adadelta": functools.partial(torch.optim.Adadelta, weight_decay=0.1),
    "adagrad": functools.partial(torch.optim.Adagrad, lr_decay=0.1),
    "dampened": functools.partial(torch.optim.SGD, momentum=0.9, dampening=0.5),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_of_torch_and_weights_that_no_gradient_reaches(name: str) -> None:
    nets, of = networks(MADE["weights that are not used"]), recipes(OPTIMIZERS[name])
    for place, net in enumerate(trained(stacked(nets, of))):
        assert_same(net, looped(nets[place], place, of[place]))


def own_loss(out: Tensor, y: Tensor, task: Task) -> Tensor:
    return (out - y).abs().pow(1.5).sum()


own_loss.reduction = "sum"  # type: ignore[attr-defined]


def own_penalty(parameters: Any) -> Tensor:
    return 0.1 * torch.stack([parameter.pow(4).sum() for parameter in parameters]).sum()


def test_a_loss_and_a_penalty_of_ones_own() -> None:
    nets, of = networks(tied), recipes(torch.optim.Adam, own_penalty, losses.as_loss(own_loss))

    def objective(net: nn.Module, out: Tensor, y: Tensor) -> Tensor:
        return own_loss(out, y, TASK) + own_penalty(net.parameters())

    for place, net in enumerate(trained(stacked(nets, of))):
        assert_same(net, looped(nets[place], place, of[place], objective))


def test_a_penalty_of_each_copy_reaches_weights_that_are_not_used() -> None:
    nets, of = networks(MADE["weights that are not used"]), recipes(torch.optim.Adam)
    of = [
        Recipe(**{**vars(recipe), "penalty": Penalty(weight, 0.25)})
        for recipe, weight in zip(of, (0.1, 0.0, 0.3), strict=True)
    ]
    for place, net in enumerate(trained(stacked(nets, of))):
        penalty = of[place].penalty
        assert penalty is not None

        def objective(net: nn.Module, out: Tensor, y: Tensor, penalty: Penalize = penalty) -> Tensor:
            return F.mse_loss(out, y) + penalty(net.parameters())

        assert_same(net, looped(nets[place], place, of[place], objective))


def test_penalties_of_some_runs_do_not_mix_with_weights_that_are_not_used() -> None:
    of = recipes(torch.optim.Adam)
    of[1] = Recipe(**{**vars(of[1]), "penalty": Penalty(0.1, 0.0)})
    with pytest.raises(Impossible, match="have a penalty in some runs, and none in others"):
        check(stacked(networks(MADE["weights that are not used"]), of), rows(1))
    check(stacked(networks(tied), of), rows(1))


@pytest.mark.parametrize(("optimizer", "sentence"), [(torch.optim.Rprop, "Rprop"), (torch.optim.ASGD, "ASGD")])
def test_other_optimizers_are_refused(optimizer: Any, sentence: str) -> None:
    recipe = recipes(optimizer)[0]
    assert sentence in str(obstacle(recipe, recipe.optimizer([torch.zeros(1, requires_grad=True)])))


@pytest.mark.parametrize("batch_size", [6, 4], ids=["at once", "in parts"])
def test_masks_of_dropout_are_those_of_a_copys_own_seed(batch_size: int) -> None:
    """The mask is a hash of seed, layer, number of the pass and position, here computed with Python's own integers."""
    width, shares = 4, (0.1, 0.5, 0.9)
    head = linear(width, bias=False).double()
    nn.init.ones_(head.weight)
    nets = [nn.Sequential(Dropout(share), copy.deepcopy(head)) for share in shares]
    stack = stacked(nets, recipes(torch.optim.SGD, loss=losses.sse()), batch_size)
    x, y = torch.ones(COPIES, 6, width, dtype=torch.float64), torch.zeros(COPIES, 6, 2, dtype=torch.float64)
    found = stack.step(Batch(x, y), 5, torch.zeros(COPIES, 1, dtype=torch.float64))
    for seed, share in enumerate(shares):
        total, passes = 0.0, -(-6 // batch_size)
        for index in range(passes):
            rows = min(batch_size, 6 - index * batch_size)
            key = (mixed(seed * GAMMA) + (5 * passes + index) * GAMMA) % 2**64
            kept = [mixed(mixed(key) + place * GAMMA) >> 33 >= int(share * 2**31) for place in range(rows * width)]
            sums = [sum(kept[row * width : (row + 1) * width]) / (1 - share) for row in range(rows)]
            total += sum(2 * value**2 for value in sums)
        assert found[seed].item() == pytest.approx(total, rel=1e-12)


GAMMA = 0x9E3779B97F4A7C15


def mixed(z: int) -> int:
    """SplitMix64's finalizer."""
    z %= 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31
