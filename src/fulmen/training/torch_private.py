"""Functions that rely on torch's internals; a test of each fails when torch changes them."""

import functools
import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn.modules.module import _has_any_global_hook
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks


def has_hooks(net: nn.Module) -> bool:
    """Returns whether anything is called besides the layers of `net`, in a forward or a backward pass."""
    hooks = [value for layer in net.modules() for name, value in vars(layer).items() if name.endswith("_hooks")]
    for parameter in net.parameters():
        hooks += [parameter._backward_hooks, parameter._post_accumulate_grad_hooks]
    return any(hooks) or bool(_has_any_global_hook())  # type: ignore[no-untyped-call]


def bare_step(optimizer: Optimizer) -> Callable[[], Any]:
    """Returns the optimizer's step without its marks for profilers, a tenth of a small step, if it has no hooks."""
    own, everyones = vars(optimizer), (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)
    if "step" in own or any(everyones) or any(own[name] for name in own if name.startswith("_optimizer_step_")):
        return optimizer.step
    return functools.partial(inspect.unwrap(type(optimizer).step), optimizer)


def while_loop(
    more: Callable[..., Tensor], step: Callable[..., Any], state: Sequence[Tensor], constants: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Records a loop as one operation: while `more(*state, *constants)`, `state = step(*state, *constants)`."""
    from torch._higher_order_ops.while_loop import while_loop_op  # the loop around it would import dynamo

    found: tuple[Tensor, ...] = while_loop_op(more, step, tuple(state), tuple(constants))  # type: ignore[arg-type]
    return found


def machine_code(graph: GraphModule, inputs: list[Any]) -> Callable[..., Sequence[Tensor]]:
    """Compiles `graph` for tensors of the shapes of `inputs`.

    Raises:
        Exception: whatever inductor or the C++ compiler raises.
    """
    import torch._inductor  # takes a second

    options = {
        "cpp_wrapper": not inputs[0].is_cuda,  # Python between two operations takes longer than either
        "fallback_random": True,  # a network's random numbers are torch's own
        "constant_and_index_propagation": False,  # it counts beyond 64 bits, where dropout's hash wraps around
    }
    with quiet():
        function: Callable[..., Sequence[Tensor]] = torch._inductor.compile(graph, inputs, options=options)
    return function


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps torch from warning of itself, and from logging what it fails at, by the thousand lines."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
