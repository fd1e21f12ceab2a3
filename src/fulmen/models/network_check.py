"""The check of a network before a run: it fits the data, and it is a function of a row whose weights can be saved.

The passes go through two further networks of the same kind, so that the one that is trained stays as it was. Their
weights are moved a little: layers that begin with zeros would hide what comes before them.

Shapes: B rows of a batch.
"""

import inspect
import random
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fulmen.errors import first_line
from fulmen.models.dry_run import class_line, evaluation_mode, place, run
from fulmen.models.initializers import load_weights
from fulmen.rules import listed, type_of

ROWS = 32
"""Rows of the check, at most."""
SEQUENTIAL = (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoderLayer)
"""Layers that take two dimensions for one sequence, without a batch."""
NO_GRADIENT = (
    "the output of {} does not follow from its parameters by operations that have a gradient; leave out detach(), "
    ".data, torch.no_grad(), numpy() and argmax"
)
MODERATE = 1e6
"""The largest input that a network must give a finite output for."""
OUTPUT_ACTIVATIONS = {"SigmoidBackward0": "sigmoid", "SoftmaxBackward0": "softmax"}
"""Activations that give probabilities, by autograd's name of their derivative."""
OF_MODULES = vars(nn.Module()).keys()
"""Attributes that every module has."""


class SmallestBatch(NamedTuple):
    """The fewest rows that go through the network at once in training."""

    rows: int
    origin: str
    """How they come about, as in `the last batch of 97 training rows at data.batch_size=32, which has 1`."""
    way_out: str


def check(
    make: Callable[[int], nn.Module], x: Tensor, out_features: int, smallest: SmallestBatch, *, of_classes: bool = False
) -> list[str]:
    """Checks a kind of network with rows of the data.

    Args:
        make: makes one, given a seed.
        x: training rows, [B, *in_shape].
        out_features: numbers that it must return for a row.
        smallest: the smallest training batch.
        of_classes: whether these numbers are raw scores of classes.

    Returns:
        Sentences about what is no fault, and may not be intended.

    Raises:
        ValueError: names what is wrong, the line of code, and what to write instead.
    """
    with torch.random.fork_rng(range(torch.cuda.device_count())), ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())
        net, another = make(1), make(2)
        if "torch._dynamo" in sys.modules:  # compiling takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        _check_forward(net)
        names = set(net.state_dict())
        with torch.no_grad():
            for parameter in filter(torch.is_floating_point, net.parameters()):
                parameter.add_(torch.randn_like(parameter), alpha=0.01)
        x = x.repeat(-(-4 // len(x)), *(1 for _ in x.shape[1:]))
        count = 4 if out_features == 3 else 3  # other than out_features, so that [out_features, B] is seen
        few = x[torch.linspace(0, len(x) - 1, count).long()]
        _check_rows(net, few, out_features)
        if made := set(net.state_dict()) - names:
            first = min(made)
            raise ValueError(
                f"{class_line(net, first)} makes {first} in forward, when the optimizer has its "
                "parameters already; make it in __init__, from in_shape, or use nn.LazyLinear"
            )
        notes = _check_gradient(make, net, x, out_features, of_classes)
        if smallest.rows < len(x):
            _check_smallest(net, x[: smallest.rows], out_features, smallest)
        _check_saving(net, another, few)
    return notes


def _check_forward(net: nn.Module) -> None:
    name = type(net).__name__
    parameters = list(net.parameters())
    if not any(parameter.requires_grad for parameter in parameters):
        plain = [tensor for module in net.modules() for value in _plain(module).values() for tensor in _tensors(value)]
        if hidden := [tensor for tensor in plain if tensor.requires_grad]:
            raise ValueError(_unregistered(net, hidden[0]))
        frozen = " that require a gradient" if parameters else ""
        raise ValueError(f"{name} has no parameters{frozen}, so there is nothing to train; add a layer that has some")
    try:
        inspect.signature(net.forward).bind(torch.empty(0))
    except TypeError as error:
        raise ValueError(
            f"{class_line(net, 'forward')} is called with the rows alone, [rows, *in_shape]: {error}; "
            "give every further argument a default"
        ) from error


def _outputs(net: nn.Module, x: Tensor, out_features: int, when: str = "") -> Tensor:
    """Returns the output for rows, [B, out_features].

    Raises:
        ValueError: it fails, changes its input, or returns something else.
    """
    own = x.clone()
    out = run(net, own, when)
    if not torch.equal(own.nan_to_num(), x.nan_to_num()):
        raise ValueError(
            f"{class_line(net, 'forward')} changes its input in place{_line_of_change(net, x)}, so the data would "
            "be others after each pass; make a new tensor: x = x + 1 for x += 1, inplace=False, or x = x.clone() first"
        )
    wanted = (len(x), out_features)
    found = tuple(out.shape) if isinstance(out, Tensor) else type_of(out)
    if not isinstance(out, Tensor) or found != wanted:
        rows = "one row" if len(x) == 1 else f"{len(x)} rows"
        raise ValueError(
            f"{class_line(net, 'forward')} returns {found} for {rows}{when}, but this data needs {wanted}: "
            f"[rows, out_features]; {_way_out(out, wanted)}"
        )
    if not out.is_floating_point() or out.layout != torch.strided:
        kind = str(out.dtype if out.layout == torch.strided else out.layout).removeprefix("torch.")
        raise ValueError(
            f"{class_line(net, 'forward')} returns numbers of the kind {kind}{when}, but the loss needs real ones with "
            "a gradient, in a dense tensor: leave out argmax, > and long(), take .real or .abs() of complex numbers, "
            "and to_dense() of a sparse tensor"
        )
    return out


def _way_out(out: Any, wanted: tuple[int, int]) -> str:
    """Returns what to write in forward instead."""
    if out is None:
        return "end forward with a return"
    if isinstance(out, (tuple, list)):
        return "return the tensor alone, as in out, state = self.rnn(x)"
    if isinstance(out, Mapping):
        return "return the tensor alone, as in return out['logits']"
    if not isinstance(out, Tensor):
        return "return a tensor"
    if out.shape == wanted[::-1]:
        return "rows come first: transpose it, and use view(len(x), -1) for view(1, -1)"
    if out.shape == wanted[:1] and wanted[1] == 1:
        return "leave out squeeze, or add unsqueeze(1)"
    if out.shape == ():
        return "return the scores of the rows, and leave the loss to loss="
    if out.shape[0] != wanted[0]:
        return "the first dimension is that of the rows: use x.flatten(1), or view(len(x), -1) for view(-1, n)"
    if out.ndim > 2 and out.numel() == wanted[0] * wanted[1]:
        return "return out.flatten(1)"
    return "make its last layer out_features wide"


def _line_of_change(net: nn.Module, x: Tensor) -> str:
    """Returns where the input is changed, which autograd refuses for a tensor whose gradient is wanted."""
    try:
        with torch.enable_grad():
            net(x.clone().requires_grad_())
    except RuntimeError as error:
        return f" ({place(net, error)})"
    return ""


def _check_rows(net: nn.Module, x: Tensor, out_features: int) -> None:
    """Checks that in evaluation mode a row's output depends on that row alone."""
    with evaluation_mode(net), torch.no_grad():
        together = _outputs(net, x, out_features)
        if not _is_close(_outputs(net, x, out_features), together):
            raise ValueError(
                f"{class_line(net, 'forward')} returns another output in evaluation mode each time it is given the "
                "same rows, so no metric could be measured again; what is random, or counts, belongs under "
                "if self.training, as in F.dropout(x, p, training=self.training)"
            )
        alone = torch.cat([_outputs(net, row, out_features) for row in torch.split(x, 1)])
    if not _is_close(alone, together):
        raise ValueError(
            f"{class_line(net, 'forward')} returns another output for a row in evaluation mode when other rows are "
            f"in its batch, so a prediction would depend on what is predicted beside it{_mixing(net, x)}; the rows are "
            "the first dimension, and nothing may be computed across it"
        )


def _mixing(net: nn.Module, x: Tensor) -> str:
    """Returns which layer takes rows for the steps of a sequence, or for its statistics, if one does."""
    causes: list[str] = []
    names = {module: name for name, module in net.named_modules()}

    def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        layer = f": {names[module]} ({type(module).__name__})"
        attention = getattr(module, "self_attn", module)
        if isinstance(module, SEQUENTIAL) and not (attention.batch_first and inputs and inputs[0].ndim > 2):
            wanted = "batch_first=True, and x.unsqueeze(1) where a row has no steps: [B, F] -> [B, 1, F]"
            causes.append(f"{layer} takes the rows for the steps of one sequence; use {wanted}")
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.track_running_stats:
            causes.append(f"{layer} uses the batch's own mean; use track_running_stats=True")

    handles = [module.register_forward_pre_hook(look) for module in names]
    with evaluation_mode(net), torch.no_grad():
        net(x)
    for handle in handles:
        handle.remove()
    return causes[0] if causes else ""


def _is_close(one: Tensor, other: Tensor) -> bool:
    """Returns whether outputs differ by no more than rounding."""
    rounding = 1e-8 if other.dtype == torch.float64 else 1e-4  # as a share of the largest number
    one, other = one.double(), other.double()
    largest = other.nan_to_num(0, 0, 0).abs().max().item()
    return torch.allclose(one, other, 0, rounding * largest, equal_nan=True)


def _check_gradient(
    make: Callable[[int], nn.Module], net: nn.Module, x: Tensor, out_features: int, of_classes: bool
) -> list[str]:
    """Checks a backward pass in training mode; returns notes, of parameters without a gradient for one."""
    out = _outputs(net, x, out_features, " in training")
    if not out.requires_grad:
        raise ValueError(NO_GRADIENT.format(class_line(net, "forward")))
    trained = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    known = {id(parameter) for parameter in net.parameters()}
    for leaf in _leaves(out):
        is_input = leaf.shape == x.shape and torch.equal(leaf, x)  # whose gradient a network may want
        if id(leaf) not in known and not is_input:
            raise ValueError(_unregistered(net, leaf))
    try:
        score = (out * torch.randn_like(out)).sum()  # the sum of a softmax is 1, whatever its weights
        found = torch.autograd.grad(score, list(trained.values()), allow_unused=True)
    except RuntimeError as error:
        raise ValueError(
            f"the gradient of {class_line(net, 'forward')} cannot be found ({first_line(error)}); a result that the "
            "backward pass needs is changed in place there: write x = x + 1 for x += 1, or inplace=False"
        ) from error
    reached = [gradient for gradient in found if gradient is not None]
    if not reached:
        raise ValueError(NO_GRADIENT.format(class_line(net, "forward")))
    if not all(tensor.isfinite().all() for tensor in (out, *reached)):
        _check_finite(make(1), x)  # as it is made: its weights are not moved, and log and sqrt may take those
    _check_second_batch(net, x, list(trained.values()))
    notes = []
    if not any(gradient.any() for gradient in reached):
        notes.append(
            f"every gradient of {class_line(net, 'forward')} is 0 in the first rows, so it would learn nothing: a "
            "softmax of one number is always 1, and relu of negative numbers always 0"
        )
    unused = [name for name, gradient in zip(trained, found, strict=True) if gradient is None]
    if unused:
        notes.append(
            f"no gradient reaches {listed(unused)} of {class_line(net, unused[0])} in the first rows: forward does not "
            "use them for those"
        )
    activation = OUTPUT_ACTIVATIONS.get(out.grad_fn.name() if out.grad_fn is not None else "")
    if of_classes and activation is not None and not hasattr(net, "output_activation"):
        notes.append(
            f"{class_line(net, 'forward')} ends with a {activation}, and the loss applies another one to its output: "
            f"leave it out, or set self.output_activation = {activation!r}"
        )
    return notes


def _check_finite(net: nn.Module, x: Tensor) -> None:
    """Checks that rows of moderate size give finite outputs, and finite gradients, in training mode."""
    if not x.isfinite().all() or x.abs().max() > MODERATE:
        return
    out = net(x.clone())
    way_out = "use clamp_min(1e-8) on what is divided by, and on what log, sqrt or norm is taken of"
    if out.isnan().any() or out.isposinf().any():  # -inf is the score of a class that is ruled out
        value = "nan" if out.isnan().any() else "inf"
        raise ValueError(
            f"{class_line(net, 'forward')} returns {value} for rows of finite numbers, so the loss would be "
            f"no number at the first step; {way_out}"
        )
    trained = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    found = torch.autograd.grad(out.sum(), list(trained.values()), allow_unused=True)
    wrong = [name for name, of in zip(trained, found, strict=True) if of is not None and not of.isfinite().all()]
    if wrong:
        raise ValueError(
            f"the gradient of {class_line(net, 'forward')} is not finite for {listed(wrong)}, so these weights would "
            f"be no numbers after the first step; {way_out}"
        )


def _check_second_batch(net: nn.Module, x: Tensor, trained: list[Tensor]) -> None:
    """Checks that the gradient of a batch does not go through the batch before, by a tensor that is kept."""
    kept = [
        (module, name)
        for module in net.modules()
        for name, value in [*vars(module).items(), *module.named_buffers(recurse=False)]
        if name not in OF_MODULES and any(tensor.grad_fn is not None for tensor in _tensors(value))
    ]
    if not kept:
        return
    try:
        torch.autograd.grad(net(x.clone()).sum(), trained, allow_unused=True)
    except RuntimeError as error:
        module, name = kept[0]
        raise ValueError(
            f"{class_line(module, name)} keeps {name} from one batch to the next, and computes with it, so the "
            "gradient of the second batch would go through the first; keep it without its gradient, by detach(), or "
            "make it anew in forward"
        ) from error


def _leaves(out: Tensor) -> list[Tensor]:
    """Returns the tensors that autograd finds a gradient for."""
    waiting, seen, leaves = [out.grad_fn], set[object](), list[Tensor]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaves += [node.variable] if hasattr(node, "variable") else []
        waiting += [before for before, _ in node.next_functions]
    return leaves


def _unregistered(net: nn.Module, leaf: Tensor) -> str:
    """Returns a sentence about a tensor that learns and is no parameter of the network."""
    for module in net.modules():
        for name, value in _plain(module).items():
            if not any(leaf is tensor for tensor in _tensors(value)):
                continue
            what = "tensor" if value is leaf else type(value).__name__
            kind = "Module" if any(isinstance(part, nn.Module) for part in _parts(value)) else "Parameter"
            kind += "" if value is leaf else "Dict" if isinstance(value, dict) else "List"
            return (
                f"{class_line(module, name)} keeps weights in {name}, a plain {what}, where no optimizer finds them "
                f"and no checkpoint saves them; write self.{name} = nn.{kind}(...)"
            )
    return (
        f"{class_line(net, 'forward')} computes with a tensor of the shape {[*leaf.shape]} that requires a gradient "
        "and is no parameter of it, so it would be neither trained nor saved; make it an nn.Parameter in __init__"
    )


def _check_smallest(net: nn.Module, x: Tensor, out_features: int, smallest: SmallestBatch) -> None:
    """Checks the smallest batch in training mode, where others pass."""
    try:
        _outputs(net, x, out_features, " in training")
    except ValueError as error:
        layer = place(net, error.__cause__ or error)
        raise ValueError(
            f"{type(net).__name__} cannot be trained on {smallest.origin} ({layer}): batch normalization, for one, has "
            f"no variance of one row; {smallest.way_out}"
        ) from error


def _check_saving(net: nn.Module, another: nn.Module, x: Tensor) -> None:
    """Checks that another network with the same state gives the same output."""
    load_weights(another, net.state_dict())
    with evaluation_mode(net), evaluation_mode(another), torch.no_grad():
        if _is_close(another(x), net(x)):
            return
    others = dict(another.named_modules())
    different = [
        (module, name)
        for path, module in net.named_modules()
        for name, value in _plain(module).items()
        if not _equal(value, _plain(others[path]).get(name))
    ]
    way_out = "keep every tensor that it computes with by self.register_buffer(name, tensor), and layers as attributes"
    if different:
        module, name = different[0]
        way_out = f"{class_line(module, name)} keeps {name} as a plain attribute, or one that is not saved; "
        way_out += f"use self.register_buffer({name!r}, tensor), or nn.ModuleList for layers"
    raise ValueError(
        f"{type(net).__name__} does not return the same from a checkpoint: with equal weights, another one gives "
        f"another output; {way_out}"
    )


def _plain(module: nn.Module) -> dict[str, Any]:
    """Returns the attributes of a module that its state does not hold."""
    own = {name: value for name, value in vars(module).items() if name not in OF_MODULES}
    saved = module.state_dict().keys()
    return own | {name: value for name, value in module.named_buffers(recurse=False) if name not in saved}


def _parts(value: Any) -> list[Any]:
    """Returns what is in a list, a tuple, a set or a dictionary, at any depth; anything else alone."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple, set)):
        return [part for each in value for part in _parts(each)]
    return [value]


def _tensors(value: Any) -> list[Tensor]:
    """Returns the tensors of an attribute, those of layers included."""
    return [
        tensor
        for part in _parts(value)
        for tensor in (part.parameters() if isinstance(part, nn.Module) else [part])
        if isinstance(tensor, Tensor)
    ]


def _equal(one: Any, other: Any) -> bool:
    """Returns whether two attributes hold equal tensors and numbers."""
    ones, others = _tensors(one), _tensors(other)
    if len(ones) != len(others) or not all(map(torch.equal, ones, others)):
        return False
    return not isinstance(one, (int, float)) or one == other
