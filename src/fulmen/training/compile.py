"""Training by compiled steps: `trainer.compile=true`, for long runs.

Of a small network's step nearly all is Python, and the dispatch of some hundred operations. Torch's inductor makes
machine code of the graph of a whole step. It is called by itself: what `torch.compile` puts around it, checks at every
call, takes longer than such a step. A function is one step, not several, because functions of several gain little, and
packs have any length. It changes weights, buffers and the optimizer's state in place; so checkpoints, histories and
resuming know nothing of it, and a resumed run ends with the weights of an undisturbed one, to the last bit.

The price: seconds of compiling for each shape of batches, of which there are two, as the last one of a pass is smaller;
and last bits unlike those of a run that is not compiled, because operations are fused. The first call of each function
is compared with the learner's own step, in case there is in a network or an optimizer what a graph cannot see.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.optim import LBFGS, Optimizer

from fulmen.data.tensors import Batch
from fulmen.errors import warn
from fulmen.training.graph import Impossible, MakeAdvance, mutable_state, settings, trace
from fulmen.training.optimizers import MakeOptimizer
from fulmen.training.step import Advance

Function = Callable[..., Sequence[Tensor]]
"""Of what it changes, the learning rate, the step and a batch; returns the loss and the gradients, as `trace` says."""
TOLERANCES = {torch.float32: 1e-3, torch.float64: 1e-10}
"""How far, in relative norm, a compiled step may be from the learner's own; other types are not compiled."""
OPTIONS = {
    "fallback_random": True,  # a network's random numbers are torch's own
    "constant_and_index_propagation": False,  # it counts beyond 64 bits, where dropout's hash wraps around
}
"""Of inductor."""


class Compiled:
    """Compiled steps of a network's training, one function for each shape of batches.

    Args:
        net: on its device.
        optimizer: that trains it.
        make_optimizer: makes another one.
        make_advance: makes the learner's own step, for the tensors that `net` has at that moment.
        plain: whether that step is all there is: no scaling of gradients, no other devices.
        by_hand: whether its gradient is found by hand.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: Optimizer,
        make_optimizer: MakeOptimizer,
        make_advance: MakeAdvance,
        *,
        plain: bool,
        by_hand: bool,
    ) -> None:
        self.net, self.optimizer = net, optimizer
        self.make_optimizer, self.make_advance = make_optimizer, make_advance
        self.parameters = list(net.parameters())
        self.settings = settings(optimizer)
        self.rate, self.step = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
        self.functions: dict[tuple[torch.Size, torch.Size], Function] = {}
        self.tensors: list[Tensor] = []
        self.given_up = False
        types = {parameter.dtype for parameter in self.parameters}
        obstacles = {
            "it is for one device, and trainer.precision=32-true or 64-true": not plain or types - TOLERANCES.keys(),
            "L-BFGS decides by its losses what to do next": isinstance(optimizer, LBFGS),
            "the optimizer has groups of parameters": len(optimizer.param_groups) > 1,
            "the gradient is found by hand": by_hand,
            "trainer.debug looks at each operation": torch.is_anomaly_enabled(),
        }
        for why in [why for why, holds in obstacles.items() if holds][:1]:
            self._give_up(why)

    def _give_up(self, why: str) -> None:
        self.given_up = True
        warn(f"trainer.compile is not possible here: {why}; training goes on without it")

    def advance(self, own: Advance) -> Advance:
        """What trains as the learner's `own` step does, by compiled functions as far as possible."""

        def advance(batch: Batch, step: int) -> Tensor:
            if step == 0 or self.given_up:  # the first step gives the optimizer its state
                return own(batch, step)
            self.rate.fill_(self.optimizer.param_groups[0]["lr"])
            self.step.fill_(step)
            function = self.functions.get((batch.x.shape, batch.y.shape))
            if function is None or settings(self.optimizer) != self.settings:
                return self._first(own, batch, step)
            return self._call(function, self.tensors, batch)

        return advance

    def _call(self, function: Function, tensors: list[Tensor], batch: Batch) -> Tensor:
        with torch.no_grad():
            loss, *gradients = function(*tensors, self.rate, self.step, *batch)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient  # callbacks may look at it
        return loss

    def _first(self, own: Advance, batch: Batch, step: int) -> Tensor:
        """The compiled step on copies, then the learner's own; if they agree, the former counts."""
        try:
            function = self._compile(batch)
            copies = [tensor.clone() for tensor in mutable_state(self.net, self.optimizer)]
            rows = Batch(*(tensor.clone() for tensor in batch))
            with torch.random.fork_rng([batch.x.device] if batch.x.is_cuda else []):
                loss = self._call(function, copies, rows)
        except Impossible as error:
            self._give_up(str(error))
            return own(batch, step)
        except Exception as error:  # of the network, the optimizer, make_fx, inductor or the C++ compiler
            self._give_up(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
            return own(batch, step)
        expected = own(batch, step)
        self.tensors = mutable_state(self.net, self.optimizer)  # which the learner's own step may have replaced
        same = all(map(torch.equal, rows, batch))  # unless a first layer writes to them
        if expected.isfinite() and not (same and self._agree([loss, *copies], [expected, *self.tensors])):
            self._give_up("a compiled step gives other weights")
            return expected
        for tensor, copy in zip(self.tensors, copies, strict=True):
            tensor.copy_(copy)
        self.functions[batch.x.shape, batch.y.shape] = function
        return loss

    def _compile(self, batch: Batch) -> Function:
        if settings(self.optimizer) != self.settings:
            raise Impossible("the schedule changes more than the learning rate")
        graph = trace(self.net, self.optimizer, self.make_optimizer, self.make_advance, self.rate, self.step, batch)
        return machine_code(graph, [*mutable_state(self.net, self.optimizer), self.rate, self.step, *batch])

    def _agree(self, found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
        """In the loss, the weights and the network's buffers; in an optimizer's state may be nothing but rounding."""
        count = 1 + len(self.parameters) + len(list(self.net.buffers()))
        one, other = (
            torch.cat([tensor.flatten().double() for tensor in each[:count] if tensor.is_floating_point()])
            for each in (found, expected)
        )
        tolerance = max(TOLERANCES[parameter.dtype] for parameter in self.parameters)
        return bool((one - other).norm() <= tolerance * other.norm())


def machine_code(graph: GraphModule, inputs: list[Any]) -> Function:
    """What does the same to tensors of the same shapes."""
    with _quiet():
        import torch._inductor  # takes a second

        function: Function = torch._inductor.compile(graph, inputs, options=OPTIONS)
    return function


@contextmanager
def _quiet() -> Iterator[None]:
    """While it lasts, torch neither warns of itself nor logs what it fails at, by the thousand lines."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
