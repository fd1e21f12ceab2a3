"""The same training in JAX: all steps in one compiled `scan`."""

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.peers import Parts, parts
from benchmarks.timing import Clock, Cost

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def scan(*words: str) -> Cost:
    """A two-class network trained by Adam, all of whose batches are whole; compiled before the clock starts."""
    import jax

    of = parts(words)
    jax.config.update("jax_enable_x64", of.splits["train"].x.dtype is torch.float64)
    train, state, rows = jax.jit(_training(of)), _state(of), _batches(of)
    jax.block_until_ready(train(state, *rows))
    clock = Clock()
    jax.block_until_ready(train(state, *rows))
    return clock.read()


def scan_of_copies(copies: int, *words: str) -> Cost:
    """The same for many copies at once by `vmap`, each with batches in an order of its own."""
    import jax
    from jax import numpy as jnp

    of = parts(words)
    jax.config.update("jax_enable_x64", of.splits["train"].x.dtype is torch.float64)
    train = jax.jit(_training(of, jax.vmap))
    state = jax.tree.map(lambda values: jnp.stack([values] * copies), _state(of))
    rows = [jnp.stack(values, 1) for values in zip(*(_batches(of) for _ in range(copies)), strict=True)]
    jax.block_until_ready(train(state, *rows))
    clock = Clock()
    jax.block_until_ready(train(state, *rows))
    return clock.read()


def _training(of: Parts, over: Callable[[Any], Any] = lambda step: step) -> Any:
    """Makes the function of (weights, first and second moments, step), x and y that takes a step on each batch."""
    import jax
    from jax import numpy as jnp

    activations = {nn.Sigmoid: jax.nn.sigmoid, nn.Tanh: jnp.tanh, nn.ReLU: jax.nn.relu}
    hidden = next(call for layer in of.net.modules() for kind, call in activations.items() if isinstance(layer, kind))
    settings = of.optimizer.param_groups[0]
    rate, (beta1, beta2), eps = settings["lr"], settings["betas"], settings["eps"]

    def loss_of(weights: Any, x: Any, y: Any) -> Any:
        for weight, bias in weights[:-1]:
            x = hidden(x @ weight.T + bias)
        out = x @ weights[-1][0].T + weights[-1][1]
        return jnp.mean(jax.nn.softplus(out) - y * out)

    def step(state: Any, batch: Any) -> Any:
        weights, first, second, count = state
        loss, gradient = jax.value_and_grad(loss_of)(weights, *batch)
        count = count + 1
        first = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, first, gradient)
        second = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, gradient)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * (m / (1 - beta1**count)) / (jnp.sqrt(v / (1 - beta2**count)) + eps),
            weights,
            first,
            second,
        )
        return (weights, first, second, count), loss

    return lambda state, x, y: jax.lax.scan(over(step), state, (x, y))


def _state(of: Parts) -> Any:
    import jax
    from jax import numpy as jnp

    layers = [layer for layer in of.net.modules() if isinstance(layer, nn.Linear)]
    weights = [tuple(jnp.asarray(v.detach().numpy()) for v in (layer.weight, layer.bias)) for layer in layers]
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return weights, zeros, zeros, jnp.zeros(())


def _batches(of: Parts) -> tuple[Any, Any]:
    """Gathers the batches of all passes, [steps, B, ...]."""
    from jax import numpy as jnp

    x, y = of.splits["train"]
    order = torch.cat([torch.randperm(len(x)) for _ in range(of.epochs)]).view(-1, of.batch_size)
    return jnp.asarray(x[order].numpy()), jnp.asarray(y[order].numpy())
