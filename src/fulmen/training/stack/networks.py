"""Copies of a network that train as one: 64 seeds and rates are one loop of slightly larger operations, not 64 loops.

Weights of all copies are one tensor, [C, n], and so are the optimizer's states. A step is a graph of operations, which
`make_fx` records once: `vmap` of the network and the loss, and autograd's gradient of the sum of all losses, of which
each copy's weights see their own. Torch's own optimizer then updates a tensor of zeros at a rate of 1. What it leaves
there is the update, which each copy takes at its own rate: an elementwise optimizer does not know what a copy is.

What differs between copies is in `Coefficients`, in their first weights and rows, and in the keys of dropout.

Shapes: C copies, n weights of a copy, B rows of a batch, N of a split.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.fx import GraphModule
from torch.optim import Optimizer

from fulmen.data.tensors import Batch
from fulmen.errors import Impossible
from fulmen.models.dropout import Dropout, with_share_as_tensor
from fulmen.models.dry_run import evaluation_mode, widest
from fulmen.models.precision import computing
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.penalties import Penalty
from fulmen.training import optimizers
from fulmen.training.graph import ELEMENTWISE, Within, named_tensors, shorten
from fulmen.training.recipe import Recipe, settings
from fulmen.training.stack.checks import attributes, check_alike, stacking

TENSORS_OF_WEIGHTS = 8
"""Tensors as large as all weights: these, the best, gradient, update, two states, a checkpoint, and new weights."""


def obstacle(recipe: Recipe, optimizer: Optimizer) -> str | None:
    """Returns why copies with this recipe cannot train as one; None if they can, as far as the recipe says."""
    obstacles = {
        f"{type(optimizer).__name__} is not known to update each number of a weight by itself": (
            type(optimizer) not in ELEMENTWISE
        ),
        "the gradient is found by hand": recipe.backprop is not None,
        "the optimizer maximizes": bool(optimizer.param_groups[0].get("maximize")),
    }
    return next((why for why, holds in obstacles.items() if holds), None)


@dataclass(frozen=True)
class Coefficients:
    """Numbers that each copy has for itself, [C, 1], in the type of the weights; None where all are zero."""

    decay: Tensor | None
    l1: Tensor | None
    """Weight of Σ|p|."""
    l2: Tensor | None
    """Weight of Σp²."""
    reached: Tensor | None = None
    """[1, n], 0 for weights without a gradient, which no decay changes; None if there are none."""

    @classmethod
    def of(cls, recipes: Sequence[Recipe], weights: Tensor) -> "Coefficients":
        """Returns those of some recipes, for stacked weights, [C, n]."""
        penalties = [recipe.penalty if isinstance(recipe.penalty, Penalty) else Penalty(0.0, 0.0) for recipe in recipes]

        def column(values: list[float]) -> Tensor | None:
            return weights.new_tensor(values).unsqueeze(1) if any(values) else None

        return cls(
            column([float(settings(recipe.optimizer).get("weight_decay", 0.0)) for recipe in recipes]),
            column([penalty.l1 for penalty in penalties]),
            column([penalty.l2 for penalty in penalties]),
        )


@dataclass(eq=False)
class Stack:
    """Networks that differ in their numbers alone, their optimizer, and the step that trains all of them.

    Raises:
        Impossible: the weights cannot be stacked.
    """

    evaluation: Evaluation
    """The network of one of them, its task and its loss."""
    in_shape: tuple[int, ...]
    nets: InitVar[Sequence[nn.Module]]
    """The networks with their first weights, on the CPU."""
    recipes: InitVar[Sequence[Recipe]]
    """How each is trained. They differ in nothing but rate, decay, penalty and seed."""
    _: KW_ONLY
    gradient_clip: float | None
    """Largest norm of a copy's gradient."""
    batch_size: int
    """Rows of a copy that go through its network at once."""
    batch_rows: InitVar[int]
    """Rows of a copy in one step of the optimizer."""
    device: torch.device

    def __post_init__(self, nets: Sequence[nn.Module], recipes: Sequence[Recipe], batch_rows: int) -> None:
        device, self.parts = self.device, -(-batch_rows // self.batch_size)
        nets = [with_share_as_tensor(net, recipe.seed) for net, recipe in zip(nets, recipes, strict=True)]
        check_alike(nets)
        self.unused, self.form = nets[0], copy.deepcopy(nets[0]).to(device)
        """The architecture, whose own numbers are never used; as it is before anything went through it, and after."""
        first: dict[int, str] = {}
        tensors = named_tensors(self.form)
        self.names = {name: first.setdefault(id(tensor), name) for name, tensor in tensors.items()}
        """For every name of a tensor the one that stands for it here; layers may share a tensor."""
        self.trained = [first[id(parameter)] for parameter in self.form.parameters() if parameter.requires_grad]
        if len({tensors[name].dtype for name in self.trained}) != 1:
            raise Impossible("its weights are of several types" if self.trained else "it has no weights to train")
        self.shapes = [tensors[name].shape for name in self.trained]
        self.counters, keys = _of_dropout(self.form, "step"), _of_dropout(self.form, "key", "p")
        rest = [name for name in dict.fromkeys(self.names.values()) if name not in (*self.trained, *self.counters)]
        of_copies = [named_tensors(net) for net in nets]
        stacked = {name: torch.stack([each[name].detach() for each in of_copies]).to(device) for name in rest}
        fixed = {first[id(parameter)] for parameter in self.form.parameters()}.union(keys)
        self.constants = {name: stack for name, stack in stacked.items() if name in fixed}
        """What nothing changes, of all copies, even those that have left."""
        self.present = self.constants
        """The same of the copies that are in the stack."""
        self.buffers = {name: stack for name, stack in stacked.items() if name not in fixed}
        """What a forward pass may change, by name: [C, ...] each."""
        flat = [torch.cat([each[name].detach().reshape(-1) for name in self.trained]) for each in of_copies]
        self.weights = torch.stack(flat).to(device)
        """[C, n]"""
        self.widest = widest(self.evaluation.net, self.in_shape)
        """Numbers that the widest layer gives for a row."""
        self.coefficients = Coefficients.of(recipes, self.weights)
        self.penalty = None if isinstance(recipes[0].penalty, Penalty) else recipes[0].penalty
        self.is_penalized = np.array([isinstance(recipe.penalty, Penalty) for recipe in recipes])
        self.make_optimizer = recipes[0].optimizer
        self.update = torch.zeros_like(self.weights).requires_grad_()
        self.optimizer = self.new_optimizer(self.update)
        self.is_decoupled = bool(self.optimizer.param_groups[0].get("decoupled_weight_decay"))
        self.gradients: dict[Any, Callable[..., Sequence[Tensor]]] = {}

    @property
    def copies(self) -> int:
        return len(self.weights)

    @property
    def sums(self) -> bool:
        return self.evaluation.loss.reduction == "sum"

    def new_optimizer(self, parameter: Tensor) -> Optimizer:
        """Makes an optimizer that takes its update at a rate of 1, and leaves decay to the stack."""
        optimizer = optimizers.make(self.make_optimizer, [parameter])
        optimizer.param_groups[0] |= {"lr": 1.0, "weight_decay": 0.0}
        return optimizer

    def step(self, batch: Batch, number: int, rates: Tensor) -> Tensor:
        """Takes a step of every copy.

        Args:
            batch: [C, B, ...], or [B, ...] where all copies have the same rows.
            number: the step's.
            rates: the learning rate of each copy, [C, 1].

        Returns:
            The loss of each, [C], without the penalty and before the step.
        """
        with torch.no_grad():
            count = torch.tensor(number, device=self.device)
            losses, gradient, *after = self.recorded(batch)(*self.inputs(), count, *batch)
            self.buffers = dict(zip(self.buffers, after, strict=True))
            self.weights = self.descend(self.weights, gradient, rates, self._updated, self.coefficients)
        return losses

    def inputs(self) -> list[Tensor]:
        """Returns the first inputs of a recorded graph: weights, buffers and constants."""
        return [self.weights, *self.buffers.values(), *self.present.values()]

    def keep(self, places: Tensor) -> None:
        """Lets all copies leave but those at some places, [copies]."""
        states = self.optimizer.state.pop(self.update, {})  # plain gradient descent has none
        self.weights = self.weights[places]
        self.buffers = {name: values[places] for name, values in self.buffers.items()}
        self.present = {name: values[places] for name, values in self.present.items()}
        numbers = {name: values for name, values in vars(self.coefficients).items() if values is not None}
        narrowed = {name: values[places] for name, values in numbers.items() if name != "reached"}
        self.coefficients = replace(self.coefficients, **narrowed)
        self.update = torch.zeros_like(self.weights).requires_grad_()
        self.optimizer.param_groups[0]["params"] = [self.update]
        self.optimizer.state[self.update] = {
            name: values[places] if values.ndim > 1 else values for name, values in states.items()
        }
        self.gradients.clear()

    def recorded(self, batch: Batch) -> Callable[..., Sequence[Tensor]]:
        """Returns the graph for batches of this shape."""
        shape = (batch.x.shape, batch.y.shape)
        if shape not in self.gradients:
            self.gradients[shape] = self.trace(batch).forward
        return self.gradients[shape]

    def _updated(self, gradient: Tensor) -> Tensor:
        """Returns what the optimizer makes of a gradient, [C, n], at a rate of 1."""
        self.update.detach().zero_()
        self.update.grad = gradient
        self.optimizer.step()
        self.update.grad = None  # which would take memory until the next step has a gradient
        return self.update.detach()

    def descend(
        self,
        weights: Tensor,
        gradient: Tensor,
        rates: Tensor,
        updated: Callable[[Tensor], Tensor],
        numbers: Coefficients,
    ) -> Tensor:
        """Returns weights after a step, changed in place or new: penalty, clipping, decay, update, as in a single run.

        Weights and the gradient of the losses are [C, n], rates [C, 1]; `updated` returns what the optimizer makes of a
        gradient at a rate of 1.
        """
        if numbers.reached is not None:
            rates = rates * numbers.reached
        if numbers.l1 is not None:
            gradient = gradient + numbers.l1 * weights.sign()
        if numbers.l2 is not None:
            gradient = gradient + 2 * numbers.l2 * weights
        if self.gradient_clip is not None:
            norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
            gradient = gradient * (self.gradient_clip / (norm + 1e-6)).clamp(max=1.0)
        if numbers.decay is not None and not self.is_decoupled:
            gradient = gradient + numbers.decay * weights
        update = updated(gradient)
        if numbers.decay is not None and self.is_decoupled:
            weights = weights * (1 - rates * numbers.decay)
        return weights.addcmul_(rates, update)

    def trace(self, batch: Batch) -> GraphModule:
        """Records what finds losses, [C], gradients, [C, n], and the buffers afterwards.

        Its inputs are weights, buffers, constants, the step's number, [] in int64, x and y.

        Raises:
            Impossible: the network or the loss cannot be stacked; says why.
        """
        from torch.fx.experimental.proxy_tensor import make_fx

        number, before = torch.zeros((), dtype=torch.int64, device=self.device), attributes(self.form)
        with stacking(), computing(self.evaluation.precision, self.device.type):
            made = make_fx(self.differentiated, tracing_mode="fake")
            found = made(*self.inputs(), number, *batch)
        after = attributes(self.form)
        if changed := [name for name in after if after[name] != before.get(name)]:
            raise Impossible(f"the network sets {changed[0]} in each pass, and a stack runs its Python only once")
        shorten(found.graph)
        found.recompile()
        return found

    def differentiated(self, weights: Tensor, *others: Tensor) -> list[Tensor]:
        """Returns losses, [C], gradients, [C, n], and buffers afterwards, given what `trace` says."""
        *rest, number, x, y = others
        buffers, constants = [values.clone() for values in rest[: len(self.buffers)]], rest[len(self.buffers) :]
        own = weights.detach().requires_grad_()
        axis = int(self.has_own_rows(x))
        rows, of_rows, total = x.shape[axis], 0 if axis else None, None
        with torch.enable_grad():
            parts = self.split(own)
            pieces = zip(torch.split(x, self.batch_size, axis), torch.split(y, self.batch_size, axis), strict=True)
            for index, (some, targets) in enumerate(pieces):
                losses, buffers = vmap(self._loss, (0, 0, 0, None, of_rows, of_rows), randomness="error")(
                    parts, buffers, constants, number * self.parts + index, some, targets
                )
                if rows > self.batch_size and not self.sums:
                    losses = losses * (some.shape[axis] / rows)
                total = losses if total is None else total + losses
            assert total is not None
            objective = total if self.penalty is None else total + vmap(self.penalty)(parts)
            (gradient,) = torch.autograd.grad(objective.sum(), own)
        return [total.detach(), gradient, *(values.detach() for values in buffers)]

    def bytes_of_a_copy(self, batch: Batch) -> int:
        """Returns the memory that a copy takes in a step: what it keeps, and what the graph holds at most at once."""
        graph = self.trace(batch).graph
        last = {before: place for place, node in enumerate(graph.nodes) for before in node.all_input_nodes}
        held, most = 0, 0
        sizes = {node: value.nbytes for node in graph.nodes if isinstance(value := node.meta.get("val"), Tensor)}
        for place, node in enumerate(graph.nodes):
            held += sizes.get(node, 0)
            most = max(most, held)
            held -= sum(sizes.get(before, 0) for before in node.all_input_nodes if last[before] == place)
        states = TENSORS_OF_WEIGHTS * self.weights.nbytes + sum(values.nbytes for values in self.buffers.values())
        return (most + states) // self.copies

    def leave_out(self, reached: Sequence[bool]) -> None:
        """Keeps weights that no gradient reaches as they are: an optimizer does nothing with them.

        `reached` says for each name in `trained` whether a gradient does.

        Raises:
            Impossible: some copies have a penalty, which is a gradient, and others have none.
        """
        if self.is_penalized.all():
            return
        if self.is_penalized.any():
            raise Impossible("weights that the network does not use have a penalty in some runs, and none in others")
        parts = [
            self.weights.new_full((shape.numel(),), used) for used, shape in zip(reached, self.shapes, strict=True)
        ]
        self.coefficients = replace(self.coefficients, reached=torch.cat(parts).unsqueeze(0))

    def network(self, place: int, weights: Tensor, buffers: Mapping[str, Tensor]) -> nn.Module:
        """Returns a copy as a network of its own, on the CPU, given its weights, [n], and its own buffers."""
        net = copy.deepcopy(self.evaluation.net)
        self.fill(net, place, weights, buffers)
        return net.eval()

    def fill(self, net: nn.Module, place: int, weights: Tensor, buffers: Mapping[str, Tensor]) -> None:
        """Copies the numbers of a copy into a network; arguments as for `network`."""
        values, tensors = self._tensors_of(place, weights, buffers), named_tensors(net)
        with torch.no_grad():
            for name in values.keys() & tensors.keys():
                tensors[name].copy_(values[name])

    def state_of(self, place: int, weights: Tensor, buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the `state_dict` of a copy, on the CPU, with memory of its own; arguments as for `network`."""
        own, names = self._tensors_of(place, weights, buffers), self.evaluation.net.state_dict()
        return {name: own[self.names[name]].detach().cpu().clone() for name in names}

    def _tensors_of(self, place: int, weights: Tensor, buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        parts = [part[0] for part in self.split(weights.unsqueeze(0))]
        constants = {name: values[place] for name, values in self.constants.items()}
        return {**dict(zip(self.trained, parts, strict=True)), **constants, **buffers}

    def split(self, weights: Tensor) -> list[Tensor]:
        """Returns the weights of each name in `trained`, [C, ...], as views."""
        pieces = torch.split(weights, [shape.numel() for shape in self.shapes], 1)
        return [piece.view(len(weights), *shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def has_own_rows(self, x: Tensor) -> bool:
        """Returns whether each copy has rows of its own."""
        return x.ndim > 1 + len(self.in_shape)

    def _loss(
        self, parts: list[Tensor], buffers: list[Tensor], constants: list[Tensor], number: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Returns the loss of one copy, [], and its buffers afterwards."""
        own = dict(zip((*self.trained, *self.buffers, *self.constants), (*parts, *buffers, *constants), strict=True))
        own |= dict.fromkeys(self.counters, number)

        def forward(x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
            loss = self.evaluation.loss(self.form(x), y, self.evaluation.task)
            after = named_tensors(self.form)
            return loss, [after[name] for name in self.buffers]

        given = {f"net.{name}": own[own_name] for name, own_name in self.names.items()}
        found: tuple[Tensor, list[Tensor]] = functional_call(
            Within(self.form, forward), given, (x, y), tie_weights=False
        )
        return found

    @torch.inference_mode()
    def scores(self, x: Tensor, weights: Tensor, buffers: Mapping[str, Tensor]) -> Tensor:
        """Returns the raw scores of all copies, [C, N, out_features], with the networks in evaluation mode.

        The rows are [C, N, ...], or [N, ...] for all; the weights, [C, n], of the copies in the stack, or of all.
        """
        constants = self.present if len(weights) == self.copies else self.constants
        stacked = {**dict(zip(self.trained, self.split(weights), strict=True)), **buffers, **constants}
        number = torch.zeros((), dtype=torch.int64, device=self.device)

        def forward(own: dict[str, Tensor], x: Tensor) -> Tensor:
            given = {name: number if place in self.counters else own[place] for name, place in self.names.items()}
            out: Tensor = functional_call(self.form, given, x, tie_weights=False)
            return out

        with evaluation_mode(self.form), computing(self.evaluation.precision, x.device.type):
            return vmap(forward, (0, 0 if self.has_own_rows(x) else None))(stacked, x)


def _of_dropout(net: nn.Module, *kinds: str) -> list[str]:
    """Returns the names of buffers of the dropout layers."""
    layers = [(name, layer) for name, layer in net.named_modules() if isinstance(layer, Dropout)]
    return [f"{name}.{kind}" if name else kind for name, _ in layers for kind in kinds]
