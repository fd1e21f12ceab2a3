"""The training of a stack: intervals as a single run has them, a row of the history for each copy, and how each ends.

A copy that diverges, stops early or is pruned is *frozen*: what it was then is kept, and what becomes of it in the
stack no longer counts, while its neighbours go on as if nothing had happened. Copies that have stopped early or were
pruned leave the stack once at least half of it has. (Last bits of the others may change then, since the processor takes
several numbers at once. Copies that diverge stay, so that they change nothing.)

Shapes: C copies, n weights of a copy, F columns of a row of the history, M copies that are in the stack.
"""

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fulmen.data.tensors import Batch, Rows
from fulmen.errors import Diverged, Pruned
from fulmen.tasks.evaluation import like
from fulmen.tasks.metrics import StreamingMetrics
from fulmen.training.callbacks.pruning import BEHIND, Pruner
from fulmen.training.packs import FIRST_LENGTH, adapted
from fulmen.training.plan import Plan
from fulmen.training.running_loss import finite
from fulmen.training.stack.compiled import CompiledStack
from fulmen.training.stack.networks import Stack
from fulmen.training.stack.rates import Rates
from fulmen.training.stack.rows import StackedRows

AT_ONCE = 2**23
"""Numbers that the widest layer of all copies gives at once where they are measured."""
WORTHWHILE = 500
"""Steps for which it pays to record the graph of a smaller stack."""


@dataclass(frozen=True)
class Copy:
    """The numbers of one copy at some step, on the CPU."""

    step: int
    weights: Tensor
    """[n]"""
    buffers: dict[str, Tensor]
    states: dict[str, Tensor]
    """The optimizer's, [n] each, or [] for a count of steps."""
    rate: float
    schedule: dict[str, Any] | None
    """The state of the rate's schedule."""


@dataclass(eq=False, kw_only=True)
class Fit:
    """The training of a stack to the end of its plan."""

    stack: Stack
    rows: StackedRows
    rates: Rates
    plan: Plan
    validation: Sequence[Rows] | None
    """The rows to measure after each interval: of all copies, or for each data set its own; or None."""
    std: Tensor | None
    """Of the targets of each copy, [C, 1, T], or None where all are in the same units."""
    columns: list[str]
    """The names in a row of the history."""
    score: str
    """The one of them by which weights are best."""
    patience: int | None
    """Intervals without a better score after which a copy stops, or None."""
    pruners: Sequence[Pruner | None]
    """For each copy what decides whether it is worth its time, or None."""
    compiles: InitVar[bool]

    def __post_init__(self, compiles: bool) -> None:
        copies = self.copies = self.stack.copies
        self.members = np.arange(copies)
        """The copies that are in the stack, [M]."""
        self.compiled = CompiledStack(self.stack, self.plan) if compiles else None
        self.number = 0
        """Steps taken."""
        self.ends: dict[int, BaseException | None] = {}
        """Copies that are frozen, with the error that froze them; None for one that stopped early."""
        self.kept: dict[int, Copy] = {}
        """Frozen copies as they were."""
        self.total, self.seen = np.zeros(copies), 0
        """Losses of the interval added up, [C], and their rows."""
        self.best_score = np.full(copies, math.nan)
        self.best_step = np.zeros(copies, np.int64)
        self.best_weights: Tensor | None = None
        self.best_buffers: dict[str, Tensor] = {}
        self.waited = np.zeros(copies, np.int64)
        """Intervals since the score was better than all before."""
        self.length = FIRST_LENGTH

    @property
    def running(self) -> list[int]:
        """The copies that are not frozen."""
        return [copy for copy in range(self.copies) if copy not in self.ends]

    def run(self, row: Callable[[int, NDArray[np.float64]], object], after_pack: Callable[[], object]) -> None:
        """Trains until all copies have ended.

        `row` is given the step of an interval's end and a row for each copy, [C, F]; `after_pack` is called after each
        pack, of an interval's last one after its row.
        """
        while self.number < self.plan.total_steps and self.running:
            end = self.plan.interval_end(self.number)
            while self.number < end:
                began, count = time.perf_counter(), min(self.length, self.rows.longest, end - self.number)
                self._pack(count)
                if count == self.length:
                    self.length = adapted(self.length, time.perf_counter() - began)
                if self.number < end:
                    after_pack()
            self._end_interval(row)
            self._let_leave()
            after_pack()

    def _pack(self, count: int) -> None:
        """Takes `count` steps."""
        rows, sizes = self.rows.pack(self.number, count)
        start, done, found = 0, 0, list[Tensor]()
        while done < count:
            size, alike, compiled = sizes[done], 1, self.compiled
            if compiled is not None and self.number + done > 0 and compiled.takes(size):
                if size in compiled.functions:
                    alike = sum(1 for _ in itertools.takewhile(size.__eq__, sizes[done:]))
                rates = torch.stack([self._next_rates() for _ in range(alike)])
                found += compiled.step(self._rows_of(rows, start, size, alike), size, self.number + done, rates)
            else:
                if cycled := self.rates.cycled:
                    self.stack.optimizer.param_groups[0] |= cycled
                batch = Batch(*(values[0] for values in self._rows_of(rows, start, size, 1)))
                found.append(self.stack.step(batch, self.number + done, self._next_rates()))
            start, done = start + alike * size, done + alike
        losses = torch.stack(found)
        self._look(losses)
        numbers = losses.cpu().double().numpy()
        if not self.stack.sums:
            numbers = numbers * np.array(sizes, np.float64)[:, None]
        with np.errstate(invalid="ignore", over="ignore"):  # of copies that have diverged
            # one by one, so that no sum depends on packs
            self.total[self.members] = np.cumsum([self.total[self.members], *numbers], 0)[-1]
        self.seen += sum(sizes)
        self.number += count

    def _next_rates(self) -> Tensor:
        """Returns the rates of a step, [M, 1], and moves the schedule on to the next."""
        rates = self.rates.now if len(self.members) == self.copies else self.rates.now[self.members]
        self.rates.step()
        return rates

    def _rows_of(self, rows: Batch, start: int, size: int, count: int) -> Batch:
        """Returns the rows of some steps of one size, [steps, ...], of which the first begins at row `start`."""
        if self.rows.is_full:
            return Batch(*(values.unsqueeze(0) for values in rows))
        axis = int(not self.rows.is_shared)
        parts = [values.narrow(axis, start, count * size) for values in rows]
        shapes = [(*part.shape[:axis], count, size, *part.shape[axis + 1 :]) for part in parts]
        return Batch(*(part.view(shape).movedim(axis, 0) for part, shape in zip(parts, shapes, strict=True)))

    def _look(self, losses: Tensor) -> None:
        """Freezes copies whose loss, [steps, M], is no longer finite."""
        if losses.isfinite().all():
            return
        for place in (~losses.isfinite()).any(0).nonzero().flatten().tolist():
            copy = int(self.members[place])
            if copy in self.ends:
                continue
            try:
                finite(losses[:, place], self.number)
            except Diverged as error:
                self.freeze(copy, error)

    def freeze(self, copy: int, error: BaseException | None) -> None:
        """Ends a copy; what it is now is kept."""
        self.kept[copy] = self.copy(copy)
        self.ends[copy] = error

    def copy(self, copy: int) -> Copy:
        """Returns the numbers of a copy, as it is now or as it was when it was frozen."""
        if copy in self.kept:
            return self.kept[copy]
        stack, place = self.stack, int(np.searchsorted(self.members, copy))
        states = stack.optimizer.state.get(stack.update, {})
        return Copy(
            self.number,
            stack.weights[place].clone().cpu(),
            {name: values[place].clone().cpu() for name, values in stack.buffers.items()},
            {name: (values[place] if values.ndim > 1 else values).clone().cpu() for name, values in states.items()},
            self.rates.column()[copy],
            self.rates.of_copy(copy),
        )

    def _end_interval(self, row: Callable[[int, NDArray[np.float64]], object]) -> None:
        losses = self.total / self.seen * (self.plan.rows if self.stack.sums else 1)
        self.total, self.seen = np.zeros(self.copies), 0
        found = {"lr": np.array(self.rates.column()), "train/loss": losses}
        if self.validation is not None:
            measured = self.seen_by(self.validation, self.stack.weights, self.stack.buffers).arrays()
            for name, values in measured.items():
                found[f"val/{name}"] = np.full(self.copies, math.nan)  # of copies that have left
                found[f"val/{name}"][self.members] = values
        row(self.number, np.stack([found[name] for name in self.columns], 1))
        scores = np.where(np.isfinite(found[self.score]), found[self.score], math.nan)
        self._keep_best(scores)
        self._stop(scores)
        self.rates.end_interval(scores.tolist())

    def _let_leave(self) -> None:
        """Takes frozen copies out of the stack where that pays."""
        members, ends = self.members.tolist(), self.ends
        staying = [copy for copy in members if copy not in ends or isinstance(ends[copy], Diverged)]
        few = 2 * len(staying) <= len(members) and self.plan.total_steps - self.number >= WORTHWHILE
        if self.compiled is None and few and self.running:
            self._keep(np.array(staying))

    def _keep(self, members: NDArray[np.int64]) -> None:
        places = torch.from_numpy(np.searchsorted(self.members, members)).to(self.stack.device)
        self.stack.keep(places)
        self.rows.keep(places)
        self.members = members

    def seen_by(self, splits: Sequence[Rows], weights: Tensor, buffers: Mapping[str, Tensor]) -> StreamingMetrics:
        """Measures every copy on its own split; those are of equal sizes."""
        evaluation, copies, total = self.stack.evaluation, len(weights), splits[0].rows
        std = self.std if self.std is None or copies == self.copies else self.std[self.members]
        seen = StreamingMetrics(evaluation.task, evaluation.loss, total, copies, std)
        length = max(1, AT_ONCE // (copies * self.stack.widest))
        for start in range(0, total, length):
            x, y = self._some(splits, slice(start, start + length), copies)
            out = self.stack.scores(x, weights, buffers)
            seen.add(out, like(out, y if len(splits) > 1 else y.expand(copies, *y.shape)))
        return seen

    def _some(self, splits: Sequence[Rows], rows: slice, copies: int) -> Batch:
        """Returns some rows of a split for all copies, or for each of so many its own."""
        if len(splits) == 1:
            return splits[0].take(rows)
        found = [split.take(rows) for split in splits]
        which = [self.rows.which[each] for each in (self.members if copies < self.copies else range(copies))]
        return Batch(*(torch.stack(values)[which] for values in zip(*found, strict=True)))

    def _keep_best(self, scores: NDArray[np.float64]) -> None:
        """Keeps the weights of copies whose score, [C], is better than before, and counts how long others wait."""
        stack, runs = self.stack, ~np.isin(np.arange(self.copies), list(self.ends))
        improved = scores < self.best_score if self.plan.mode == "min" else scores > self.best_score
        better = runs & np.isfinite(scores) & (np.isnan(self.best_score) | improved)
        self.waited = np.where(better, 0, self.waited + runs)
        if not better.any():
            return
        if self.best_weights is None:
            self.best_weights = self._filled(stack.weights, [])
            self.best_buffers = {name: self._filled(values, []) for name, values in stack.buffers.items()}
        copies = better.nonzero()[0]
        where = torch.from_numpy(copies).to(stack.device)
        places = torch.from_numpy(np.searchsorted(self.members, copies)).to(stack.device)
        self.best_weights[where] = stack.weights[places]
        for name, values in stack.buffers.items():
            self.best_buffers[name][where] = values[places]
        self.best_score[better], self.best_step[better] = scores[better], self.number

    def _stop(self, scores: NDArray[np.float64]) -> None:
        """Freezes copies that no longer improve, or that are far behind others."""
        is_last = self.number >= self.plan.total_steps
        for copy in self.running:
            pruner, score = self.pruners[copy], float(scores[copy])
            is_asked = not is_last and math.isfinite(score)
            if is_asked and pruner is not None and pruner(round(100 * self.number / self.plan.total_steps), score):
                self.freeze(copy, Pruned(BEHIND.format(self.score, score, self.number, self.plan.total_steps)))
            elif self.patience is not None and self.waited[copy] >= self.patience:
                self.freeze(copy, None)

    def check_finite(self) -> None:
        """Freezes copies with a weight that is no longer finite, though the loss before the last step was."""
        for place in (~self.stack.weights.isfinite().all(1)).nonzero().flatten().tolist():
            if (copy := int(self.members[place])) not in self.ends:
                named = zip(self.stack.trained, self.stack.split(self.stack.weights[place : place + 1]), strict=True)
                name = next(name for name, weights in named if not weights.isfinite().all())
                self.freeze(copy, Diverged(f"{name} is no longer finite at step {self.number}"))

    def chosen(self, weights: Literal["best", "last"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the weights of all copies that are to be evaluated, [C, n], and their buffers."""
        stack = self.stack
        found = self._filled(stack.weights, [kept.weights for kept in self.kept.values()])
        buffers = {
            name: self._filled(values, [kept.buffers[name] for kept in self.kept.values()])
            for name, values in stack.buffers.items()
        }
        if weights == "best" and self.best_weights is not None:
            has_best = torch.from_numpy(~np.isnan(self.best_score)).to(found.device)
            found[has_best] = self.best_weights[has_best]
            for name, values in self.best_buffers.items():
                buffers[name][has_best] = values[has_best]
        return found, buffers

    def _filled(self, values: Tensor, kept: Sequence[Tensor]) -> Tensor:
        """Returns what belongs to the copies in the stack, [M, ...], and to frozen ones as one tensor, [C, ...]."""
        found = values.new_zeros(self.copies, *values.shape[1:])
        found[self.members] = values
        for copy, own in zip(self.kept, kept, strict=bool(kept)):
            found[copy] = own.to(found.device)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Returns what a fit that is resumed needs, as plain values and tensors."""
        stack = self.stack
        return {
            "number": self.number,
            "members": torch.from_numpy(self.members),
            "weights": stack.weights,
            "buffers": stack.buffers,
            "optimizer": stack.optimizer.state_dict(),
            "rates": self.rates.state_dict(),
            "ends": {copy: error and [type(error).__name__, str(error)] for copy, error in self.ends.items()},
            "kept": {copy: vars(kept) for copy, kept in self.kept.items()},
            "total": torch.from_numpy(self.total),
            "seen": self.seen,
            "best": [self.best_weights, self.best_buffers],
            "arrays": {name: torch.from_numpy(getattr(self, name)) for name in ARRAYS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        stack, device = self.stack, self.stack.device
        if len(members := state["members"].numpy()) < self.copies:
            stack.optimizer.state[stack.update] = {}
            self._keep(members)
        self.number, self.seen, self.total = state["number"], state["seen"], state["total"].numpy()
        stack.weights = state["weights"].to(device)
        stack.buffers = {name: values.to(device) for name, values in state["buffers"].items()}
        stack.optimizer.load_state_dict(state["optimizer"])
        self.rates.load_state_dict(state["rates"])
        self.ends = {copy: _error(plain) for copy, plain in state["ends"].items()}
        self.kept = {copy: Copy(**kept) for copy, kept in state["kept"].items()}
        best, buffers = state["best"]
        self.best_weights = None if best is None else best.to(device)
        self.best_buffers = {name: values.to(device) for name, values in buffers.items()}
        for name in ARRAYS:
            setattr(self, name, state["arrays"][name].numpy())


ARRAYS = ("best_score", "best_step", "waited")


def _error(plain: list[str] | None) -> BaseException | None:
    if plain is None:
        return None
    kind, said = plain
    if kind == "Diverged":
        what, _, way_out = said.partition("; ")
        return Diverged(what, way_out)
    return Pruned(said) if kind == "Pruned" else ValueError(said)
