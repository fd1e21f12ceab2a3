"""Compiled steps of a stack: its whole step as machine code, with a loop over the steps of a pack around it."""

import functools
import inspect

import torch
from torch import Tensor

from fulmen.data.tensors import Batch
from fulmen.errors import first_line, warn
from fulmen.models.precision import computing
from fulmen.training import torch_private
from fulmen.training.compile import NOT_POSSIBLE, PRODUCTS, SECONDS, TOLERANCES, Function
from fulmen.training.graph import Numbers, settings
from fulmen.training.plan import Plan
from fulmen.training.stack.networks import Coefficients, Stack

SAVED, SAVED_BY_COPY = 4.4e-4, 3e-6
"""Seconds that a compiled step of a stack of small networks saves, and those that it saves for each copy."""


def saving(plan: Plan, copies: int) -> float:
    """Returns the seconds that compiling saves a stack of small networks, beside those that it takes."""
    return plan.total_steps * (SAVED + SAVED_BY_COPY * copies) - SECONDS


class CompiledStack:
    """The compiled steps of a stack, which has taken a step by itself, so that its optimizer has its state."""

    def __init__(self, stack: Stack, plan: Plan) -> None:
        self.stack, self.plan, self.full = stack, plan, plan.batch_rows >= plan.rows
        self.settings = settings(stack.optimizer)
        self.functions: dict[int, Function] = {}
        self.given_up = False

    def takes(self, size: int) -> bool:
        """Returns whether to compile steps on so many rows; not those of a last batch that comes too rarely."""
        if not self.given_up and settings(self.stack.optimizer) != self.settings:
            self._give_up("the schedule changes more than the learning rate")
        pays = size == self.plan.batch_rows or self.full or self.plan.epochs * SAVED >= SECONDS
        return pays and not self.given_up

    def _give_up(self, why: str) -> None:
        self.given_up = True
        warn(NOT_POSSIBLE.format(why))

    def step(self, rows: Batch, size: int, first: int, rates: Tensor) -> Tensor:
        """Takes one step or more, at most as many as there are rates.

        Args:
            rows: [steps, C, B, ...], or [steps, B, ...] where all copies have the same; of one step, if all have those.
            size: B.
            first: the first one's number.
            rates: [steps, C, 1].

        Returns:
            The losses, [steps, C].
        """
        if size not in self.functions:
            return self._first(Batch(*(values[0] for values in rows)), size, first, rates[0]).unsqueeze(0)
        function, found = self.functions[size], []
        for start in range(0, len(rates), function.capacity):
            some = slice(start, start + function.capacity)
            part = rows if self.full else Batch(*(values[some] for values in rows))
            losses, state = function(self._state(), rates[some], first + start, part)
            self._take(state)
            found.append(losses.clone())
        return torch.cat(found)

    def _first(self, batch: Batch, size: int, first: int, rates: Tensor) -> Tensor:
        """Compiles, and takes a step both ways; the compiled one counts if it is the same."""
        before, count = [values.clone() for values in self._state()], 1 + len(self.stack.buffers)
        losses = self.stack.step(batch, first, rates)
        try:
            function = self._compile(batch, rates)
            found, state = function(before, rates.unsqueeze(0), first, Batch(*(values[None] for values in batch)))
        except Exception as error:  # of make_fx, inductor or the C++ compiler
            self._give_up(first_line(error))
            return losses
        wanted, tolerance = [losses, *self._state()], TOLERANCES[losses.dtype]
        for one, other in list(zip([found[0], *state], wanted, strict=True))[: 1 + count]:
            one, other = one.nan_to_num(), other.nan_to_num()  # of copies that have diverged
            if one.is_floating_point() and not (one - other).norm() <= tolerance * other.norm():
                self._give_up("a compiled step gives other weights")
                return losses
        self._take(state)
        self.functions[size] = function
        return found[0].clone()

    def _take(self, state: list[Tensor]) -> None:
        stack, given = self.stack, iter(state)
        stack.weights, own = next(given), stack.optimizer.state[stack.update]
        own.update({name: next(given) for name in own})
        stack.buffers = {name: next(given) for name in stack.buffers}

    def _state(self) -> list[Tensor]:
        stack = self.stack
        return [stack.weights, *stack.optimizer.state[stack.update].values(), *stack.buffers.values()]

    def _constants(self) -> list[Tensor]:
        numbers = self.stack.coefficients
        return [*self.stack.present.values(), *(values for values in vars(numbers).values() if values is not None)]

    def _compile(self, batch: Batch, rate: Tensor) -> Function:
        from torch.fx.experimental.proxy_tensor import make_fx

        number = torch.zeros((), dtype=torch.int64, device=rate.device)
        inputs = [*self._state(), *self._constants(), rate, number, *batch]
        with torch_private.quiet(), computing(self.stack.evaluation.precision, rate.device.type):
            one = make_fx(self._whole, dict(PRODUCTS), tracing_mode="fake")(*inputs)
        return Function(one, self._state(), self._constants(), rate, batch, full=self.full, known=True)

    def _whole(self, *inputs: Tensor) -> list[Tensor]:
        """Takes a whole step, given state, constants, rates, its number, x and y."""
        stack = self.stack
        weights, *others, rate, number, x, y = inputs
        given = iter(others)
        states = {name: next(given) for name in stack.optimizer.state[stack.update]}
        buffers, constants = [next(given) for _ in stack.buffers], [next(given) for _ in stack.present]
        numbers = {name: values if values is None else next(given) for name, values in vars(stack.coefficients).items()}
        with torch.no_grad():
            losses, gradient, *after = stack.differentiated(weights, *buffers, *constants, number, x, y)
            updated = functools.partial(self._updated, weights, states)
            new = stack.descend(weights, gradient, rate, updated, Coefficients(**numbers))
            for kept, values in zip([weights, *buffers], [new, *after], strict=True):
                kept.copy_(values)
        return [losses]

    def _updated(self, weights: Tensor, states: dict[str, Tensor], gradient: Tensor) -> Tensor:
        """Returns the optimizer's update at a rate of 1; changes its states."""
        stack, parameter = self.stack, torch.zeros_like(weights).requires_grad_()
        optimizer = stack.new_optimizer(parameter)
        constants = settings(stack.optimizer)
        optimizer.param_groups[0] |= {**constants, **dict.fromkeys({"foreach", "fused"} & constants.keys(), False)}
        optimizer.state.clear()
        optimizer.state[parameter] = dict(states)
        parameter.grad = gradient
        with Numbers():
            inspect.unwrap(type(optimizer).step)(optimizer)
        for name, values in optimizer.state[parameter].items():
            if values is not states[name]:
                states[name].copy_(values)
        return parameter.detach()
