"""Training by compiled steps: `trainer.compile`, for long runs of small networks.

Nearly all of a small network's step is Python and the dispatch of some hundred operations. Here a whole step becomes a
graph (`graph.py`), small matrix products in it become sums that can be fused with what is around them, and torch's
inductor makes machine code of it, with a loop around it, so that one call takes the steps of a pack, as many as there
are. It is called directly: the checks of `torch.compile` at every call take longer than such a step. Weights, buffers
and optimizer state are those of the run after every call; so checkpoints, histories and resuming know nothing of it,
and a resumed run ends with the weights of an undisturbed one, to the last bit.

The price: seconds of compiling for each size of batches (a smaller last one of a pass is compiled only where that
pays); and last bits unlike those of a run that is not compiled, because operations are fused.

A graph does not see what Python does besides, as to count or to print. Therefore the first call of each function is
compared with the run's own step. A network of unknown layers may also change later what it computes; of that, its
attributes are looked at during its first step, and the comparison is repeated ever more rarely (`CHECKS`).
"""

import contextlib
import functools
import io
import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from shutil import which
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.optim import LBFGS, SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fulmen.data.tensors import Batch
from fulmen.errors import Impossible, first_line, warn
from fulmen.tasks.penalties import Penalty
from fulmen.training import torch_private
from fulmen.training.graph import Layout, TrainStep, is_known, mutable_state, settings, trace_step
from fulmen.training.optimizers import MakeOptimizer
from fulmen.training.packs import Pack
from fulmen.training.plan import Plan
from fulmen.training.step import Step, is_known_optimizer
from fulmen.training.trainer import SMALL_STEP, TrainerOptions

NOT_POSSIBLE = "trainer.compile is not possible here: {}; training continues without it"
TOLERANCES = {torch.float32: 1e-3, torch.float64: 1e-10}
"""How far, in relative norm, a compiled step may be from the run's own; other types are not compiled."""
SMALL_PRODUCT = 2**13
"""Multiplications below which a matrix product is written out: calling BLAS takes longer than they do."""
SECONDS, SAVED = 10.0, 1.7e-4
"""Seconds that compiling takes for each size of batches, and that a compiled step of a small network saves."""
CAPACITY, LARGEST = 256, 2**22
"""Steps in one call of a compiled function, and bytes of their rows, at most."""
CHECKS = (2, 10, *(100 * 4**power for power in range(10)))
"""Steps of a function after which a network of unknown layers is compared again."""
aten = torch.ops.aten


def obstacle(step: Step, optimizer: Optimizer, options: TrainerOptions) -> str | None:
    """Returns why the steps of a run cannot be compiled, as far as that is known before it begins; None if they can."""
    one_device = options.devices == 1 and options.strategy in ("auto", "single_device")
    obstacles = {
        "it is for one device, and trainer.precision=32-true or 64-true": (
            not one_device or options.precision not in ("32-true", "64-true")
        ),
        "L-BFGS decides by its losses what to do next": isinstance(optimizer, LBFGS),
        "the gradient is found by hand": step.by_hand is not None,
        "training rows are changed at random in each step": step.augment is not None,
        "there are several learning rates": len(optimizer.param_groups) > 1,
        "trainer.debug looks at each operation": options.debug,
    }
    return next((why for why, holds in obstacles.items() if holds), None)


def saving(plan: Plan, row_work: int) -> float:
    """Returns the seconds that compiling saves a run; 0 if it costs more, or gains nothing.

    Args:
        plan: how the run is divided.
        row_work: multiplications of a row's forward pass. A convolution takes as long compiled, or longer.
    """
    return max(0.0, plan.total_steps * SAVED - SECONDS) if is_small(plan, row_work) else 0.0


def is_small(plan: Plan, row_work: int) -> bool:
    """Returns whether compiling pays in long runs: a step is mostly Python, and there is a C++ compiler."""
    return plan.batch_rows * row_work < SMALL_STEP and which(os.environ.get("CXX", "g++")) is not None


class Compiled:
    """Compiled steps of a network's training, one function for each size of batches."""

    def __init__(self, step: Step, optimizer: Optimizer, make_optimizer: MakeOptimizer, plan: Plan) -> None:
        self.step, self.net, self.plan = step, step.evaluation.net, plan
        self.full = plan.batch_rows >= plan.rows
        self.optimizer, self.make_optimizer = optimizer, make_optimizer
        self.parameters = list(self.net.parameters())
        self.settings = settings(optimizer)
        self.known = (
            is_known(step.evaluation) and isinstance(step.penalty, Penalty | None) and is_known_optimizer(optimizer)
        )
        self.functions: dict[int, Function] = {}
        self.layout: Layout | None = None
        self.given_up = False

    def _give_up(self, why: str) -> None:
        self.given_up = True
        warn(NOT_POSSIBLE.format(why))

    def train(self, own: TrainStep, pack: Pack, index: int, first: int, scheduler: LRScheduler | None) -> Tensor:
        """Trains on batches of `pack` from `index` on, at least one, with the schedule after each.

        The first has the number `first`, not 0: the first step of all gives the optimizer its state. `own` is the run's
        own step. Returns the losses, [steps].

        Raises:
            ValueError: the network no longer computes what was compiled.
        """
        rows = pack.sizes[index]
        function = self.functions.get(rows)
        if rows < self.plan.batch_rows and self.plan.epochs * SAVED < SECONDS:
            loss = own(pack.batches[index], first)  # the last batch of a pass, of another shape
        elif settings(self.optimizer) != self.settings:
            self._give_up("the schedule changes more than the learning rate")
            loss = own(pack.batches[index], first)
        elif function is None or function.steps == function.next_check:
            loss = self._compare(function, own, pack.batches[index], first)
        else:
            return self._call(function, pack, index, first, scheduler)
        if scheduler is not None:
            scheduler.step()
        return loss.view(1)

    def _call(self, function: "Function", pack: Pack, index: int, first: int, scheduler: LRScheduler | None) -> Tensor:
        """Takes as many compiled steps as one call may."""
        most = index + int(min(function.capacity, function.next_check - function.steps))
        count = sum(1 for _ in itertools.takewhile(pack.sizes[index].__eq__, pack.sizes[index:most]))
        rates = [self.optimizer.param_groups[0]["lr"]]
        if scheduler is None:
            rates *= count
        else:
            scheduler.step()
            while len(rates) < count and settings(self.optimizer) == self.settings:
                rates.append(self.optimizer.param_groups[0]["lr"])
                scheduler.step()
        losses, gradients = self._run(
            function, mutable_state(self.net, self.optimizer), rates, first, pack.rows(index, len(rates))
        )
        self._keep(gradients)
        return losses

    def _keep(self, gradients: Mapping[int, Tensor]) -> None:
        """Leaves the gradients of the last step where callbacks look for them."""
        for place, gradient in gradients.items():
            self.parameters[place].grad = gradient

    def _compare(self, function: "Function | None", own: TrainStep, batch: Batch, step: int) -> Tensor:
        """Takes the run's own step, and the compiled one from the same state; if they agree, the latter counts."""
        try:
            before = [tensor.clone() for tensor in mutable_state(self.net, self.optimizer)]
        except Impossible as error:
            self._give_up(str(error))
            return own(batch, step)
        rows, device = Batch(*(tensor.clone() for tensor in batch)), batch.x.device
        random = [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if batch.x.is_cuda else [])]
        rate, compiled_before = self.optimizer.param_groups[0]["lr"], function is not None
        loss, unseen = (own(batch, step), None) if self.known else self._watched(own, batch, step)
        try:
            tensors = mutable_state(self.net, self.optimizer)  # some of which that step may have replaced
            if not all(map(torch.equal, rows, batch)):
                unseen = "the network writes to the rows that it is given"
            if unseen is not None:
                raise Impossible(unseen)
            function = function or self._compile(batch)
            with torch.random.fork_rng([device] if batch.x.is_cuda else []):
                torch.set_rng_state(random[0])
                if batch.x.is_cuda:
                    torch.cuda.set_rng_state(random[1], device)
                losses, gradients = self._run(function, before, [rate], step, Batch(rows.x[None], rows.y[None]))
        except Impossible as error:
            self._give_up(str(error))
            return loss
        except Exception as error:  # of the network, the optimizer, make_fx, inductor or the C++ compiler
            self._give_up(first_line(error))
            return loss
        if loss.isfinite() and not self._agree([losses[0], *before], [loss, *tensors]):
            if compiled_before:
                raise ValueError(
                    f"trainer.compile: at step {step + 1} the network no longer computes what was compiled, because of "
                    "something that its Python code does; earlier steps may be wrong, too. Use trainer.compile=false"
                )
            self._give_up("a compiled step gives other weights")
            return loss
        for tensor, value in zip(tensors, before, strict=True):
            tensor.copy_(value)
        self._keep(gradients)
        self.functions[len(batch.x)] = function
        return losses[0]

    def _watched(self, own: TrainStep, batch: Batch, step: int) -> tuple[Tensor, str | None]:
        """Takes a step; returns the loss, and what Python did meanwhile that a graph does not see, or None."""
        before, printed = self._attributes(), io.StringIO()
        with contextlib.redirect_stdout(printed):
            loss = own(batch, step)
        if printed.getvalue():
            print(printed.getvalue(), end="")
            return loss, f"the network prints {printed.getvalue().strip()[:40]!r}, which would happen only once"
        changed = [name for name, value in self._attributes().items() if before.get(name, value) != value]
        return loss, f"{changed[0]} changes at each step, and would change only once" if changed else None

    def _attributes(self) -> dict[str, str]:
        """Returns the plain values that the layers and the optimizer hold, by their names, as text."""
        plain = (bool, int, float, complex, str, list, tuple, dict, set)
        usual = vars(nn.Module()).keys() | vars(SGD([torch.zeros(1)])).keys()  # what every layer and optimizer has
        return {
            f"{type(part).__name__}.{name}": repr(value)
            for part in (*self.net.modules(), self.optimizer)
            for name, value in vars(part).items()
            if isinstance(value, plain) and name not in usual
        }

    def _compile(self, batch: Batch) -> "Function":
        net, optimizer = self.net, self.optimizer
        if len(optimizer.param_groups) > 1:
            raise Impossible("the optimizer has groups of parameters")
        if {parameter.dtype for parameter in self.parameters} - TOLERANCES.keys():
            raise Impossible("the network has parameters of another type than float32 and float64")
        with torch_private.quiet():
            layout = Layout(net, optimizer)
            one = trace_step(net, optimizer, self.make_optimizer, self.step.build, batch, layout, PRODUCTS)
        self.layout, rate = layout, torch.zeros((), dtype=torch.float64, device=batch.x.device)
        state = layout.flatten(mutable_state(net, optimizer))
        return Function(one, state, [], rate, batch, full=self.full, known=self.known)

    def _run(
        self, function: "Function", tensors: list[Tensor], rates: list[float], first: int, rows: Batch
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Takes compiled steps, which change the tensors of `mutable_state`.

        Returns the losses, [steps], and the gradients of the last step by the parameter's index.
        """
        assert self.layout is not None
        numbers = torch.tensor(rates, dtype=torch.float64)
        with torch.no_grad():
            losses, found = function(self.layout.flatten(tensors), numbers, first, rows)
            groups = len(self.layout.groups)
            torch._foreach_copy_(tensors, self.layout.unflatten(found[groups:]))
        return losses, self.layout.gradients(found[:groups])

    def _agree(self, found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
        """Compares loss, weights and the network's buffers; in an optimizer's state may be nothing but rounding."""
        count = 1 + len(self.parameters) + len(list(self.net.buffers()))
        one, other = (
            torch.cat([tensor.flatten().double() for tensor in each[:count] if tensor.is_floating_point()])
            for each in (found, expected)
        )
        tolerance = max(TOLERANCES[parameter.dtype] for parameter in self.parameters)
        return bool((one - other).norm() <= tolerance * other.norm())


class Function:
    """Machine code of up to `capacity` steps on batches of one size, in a loop.

    State and gradients go through the loop as a few flat tensors: with dozens, a step takes longer; and inductor, which
    takes equal results for one, would give that away twice.

    Args:
        one: the graph of a step. It is given the state, which it changes, constants, the rate, the step's number, [] in
            int64, x and y, and returns the losses and further tensors, such as gradients.
        state, rate, batch: examples of those.
        constants: tensors that no step changes.
        full: whether every step is on the same batch.
        known: whether the network needs no further comparison.
    """

    def __init__(
        self,
        one: GraphModule,
        state: Sequence[Tensor],
        constants: Sequence[Tensor],
        rate: Tensor,
        batch: Batch,
        *,
        full: bool,
        known: bool,
    ) -> None:
        from torch.fx.experimental.proxy_tensor import make_fx

        self.known, self.steps, self.constants = known, 0, list(constants)
        self.capacity = CAPACITY if full else max(1, min(CAPACITY, LARGEST // (batch.x.nbytes + batch.y.nbytes)))
        self.rates = rate.new_zeros(self.capacity, *rate.shape)
        self.rows = Batch(*(values.new_zeros(1 if full else self.capacity, *values.shape) for values in batch))
        outputs: Any = one.graph.output_node().args[0]
        results = [output.meta["val"] for output in outputs]
        fixed = len(self.constants)

        def more(index: Tensor, *others: Tensor) -> Tensor:
            return index < others[-3]

        def step(index: Tensor, losses: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
            *carried, rates, first, _count, x, y = others
            constants = carried[len(carried) - fixed :]
            at = index.view(1)
            rate, *rows = (v[0] if len(v) == 1 else v.index_select(0, at).squeeze(0) for v in (rates, x, y))
            kept = carried[len(results) - 1 : len(carried) - fixed]
            flat = [values.clone() for values in kept]  # the graph changes them
            loss, *further = one(*flat, *constants, rate, first + index, *(values.clone() for values in rows))
            return index + 1, losses.index_copy(0, at, loss.unsqueeze(0)), *further, *flat

        def pack(*inputs: Tensor) -> tuple[Tensor, ...]:
            *given, rates, first, count, x, y = inputs
            flat, constants = given[: len(given) - fixed], given[len(given) - fixed :]
            losses, *further = (
                torch.zeros(size, dtype=result.dtype, device=rates.device)
                for size, result in zip(
                    [(len(rates), *results[0].shape), *(result.shape for result in results[1:])], results, strict=True
                )
            )
            start = [torch.zeros_like(first), losses, *further, *flat]
            return torch_private.while_loop(more, step, start, [*constants, rates, first, count, x, y])[1:]

        number = torch.zeros((), dtype=torch.int64, device=batch.x.device)
        inputs = [*state, *self.constants, self.rates, number, number.clone(), *self.rows]
        with torch_private.quiet():
            self.code = torch_private.machine_code(make_fx(pack, tracing_mode="fake")(*inputs), inputs)

    @property
    def next_check(self) -> float:
        """The number of steps after which to compare again."""
        return math.inf if self.known else next((steps for steps in CHECKS if steps >= self.steps), math.inf)

    def __call__(self, state: Sequence[Tensor], rates: Tensor, first: int, rows: Batch) -> tuple[Tensor, list[Tensor]]:
        """Takes a step for each of the learning rates, [steps, ...], of which the first has the number `first`.

        Rows are [steps, B, ...], or [1, B, ...] where all steps have the same. Returns the losses, [steps, ...], and
        what else the last step returned, followed by the state after it.
        """
        count, number = len(rates), functools.partial(torch.tensor, dtype=torch.int64, device=self.rates.device)
        self.rates[:count] = rates
        # machine code is for rows as they lie in memory
        if any(
            one.shape != own.shape or one.stride() != own.stride() for one, own in zip(rows, self.rows, strict=True)
        ):
            for values, given in zip(self.rows, rows, strict=True):
                values[:count] = given
            rows = self.rows
        with torch.no_grad():
            losses, *found = self.code(*state, *self.constants, self.rates, number(first), number(count), *rows)
        self.steps += count
        return losses[:count], found


def _product(a: Tensor, b: Tensor) -> Any:
    """Returns a matrix product, [..., M, K] · [..., K, N] -> [..., M, N], written out if it is small."""
    if a.shape[-2] * a.shape[-1] * b.shape[-1] >= SMALL_PRODUCT:
        return NotImplemented
    return (a.unsqueeze(-1) * b.unsqueeze(-3)).sum(-2)


def _added_product(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    product = _product(a, b)
    return NotImplemented if product is NotImplemented or beta != 1 or alpha != 1 else c + product


PRODUCTS: dict[Any, Callable[..., Any]] = {
    aten.mm.default: _product,
    aten.addmm.default: _added_product,
    aten.bmm.default: _product,
    aten.baddbmm.default: _added_product,
}
"""Matrix products, one or many of them, as sums that inductor fuses with what comes before and after."""
