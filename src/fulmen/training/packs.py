"""Feeds a source to the Trainer: tensors that live on the device, and training batches in packs.

A DataLoader collates row by row, 8 ms for a batch of a thousand rows. What fits in memory is here one tensor for each
field, on the device; what does not stays in its files. An epoch's order is a pure function of (seed, epoch), and
consecutive batches are gathered at once and handed over as one *pack*, of which each batch is a view.
"""

import functools
import time
from collections.abc import Callable, Iterator

import torch
from lightning.pytorch import LightningDataModule

from fulmen.data.order import Order
from fulmen.data.scaling import Scaling
from fulmen.data.source import DataSpec, Source, Split
from fulmen.data.tensors import Batch, Rows, Streamed, held
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.outliers import Outlier, outlier
from fulmen.training.plan import Plan

SHORT, LONG = 0.025, 0.1
"""Seconds between which a pack of automatic length is kept: short, so that a stop or a progress line is prompt."""
FIRST_LENGTH = 8
LARGEST = 16 * 2**20
"""Bytes that a pack of automatic length takes at most, of rows and of their numbers: larger blocks of memory are
requested from the system each time, and 64 MiB took four times as long."""


class Pack:
    """Consecutive batches: their rows, one after the other, or, if full, each time all rows; and the size of each.

    It is no list, so that Lightning moves it as one thing instead of walking through it.
    """

    def __init__(self, whole: Batch, sizes: list[int], *, is_full: bool = False) -> None:
        self.whole, self.sizes, self.is_full = whole, sizes, is_full

    @functools.cached_property
    def batches(self) -> list[Batch]:
        """Views of the rows."""
        if self.is_full:
            return [self.whole] * len(self.sizes)
        return list(map(Batch._make, zip(*(torch.split(values, self.sizes) for values in self.whole), strict=True)))

    def rows(self, index: int, count: int) -> Batch:
        """Returns the rows of `count` batches of one size from `index` on, [count, B, ...]; [1, B, ...] if full."""
        if self.is_full:
            return Batch(self.whole.x[None], self.whole.y[None])
        size, start = self.sizes[index], sum(self.sizes[:index])
        return Batch(*(v[start : start + count * size].view(count, size, *v.shape[1:]) for v in self.whole))

    def to(self, device: torch.device, **_: object) -> "Pack":
        """Returns the same pack: its batches are on the device already."""
        return self


def adapted(length: int, seconds: float) -> int:
    """Returns the length of the next packs, after one took so long; no result depends on it: the clock may decide."""
    if seconds > LONG:
        return max(1, length // 2)
    return 2 * length if seconds < SHORT else length


class Packs:
    """The training batches from where the run stands to the end of the interval, in packs.

    It has no length: Lightning would take its own count of packs for the truth, and packs may differ in length.
    """

    def __init__(
        self, data: Rows, plan: Plan, *, seed: int, length: int | None, start: Callable[[], int], share: slice
    ) -> None:
        self.data, self.plan, self.start, self.share = data, plan, start, share
        self.fixed = length
        self.length = length or FIRST_LENGTH
        row = data.take(slice(0, 1))
        self.row_bytes = sum(values.nbytes for values in row) + torch.int64.itemsize
        self.order = Order(data.rows, row.x.numel(), seed)

    def __iter__(self) -> Iterator[Pack]:
        step = self.start()
        end = self.plan.interval_end(step)
        while step < end:
            count = min(self.length, end - step)
            began = time.perf_counter()
            yield self.pack(step, count)
            step += count
            if self.fixed is None and count == self.length:
                self.adapt(time.perf_counter() - began)

    def adapt(self, seconds: float) -> None:
        """Chooses the length of the next packs, which take no more than `LARGEST` bytes."""
        length = adapted(self.length, seconds)
        if length < self.length or length * self.plan.batch_rows * self.row_bytes <= LARGEST:
            self.length = length

    def pack(self, step: int, count: int) -> Pack:
        """Returns the `count` batches from `step` on: of this device's share of each pass's order."""
        if self.plan.batch_rows >= self.plan.rows == self.data.rows:
            everything = self.data.take(slice(None))  # needs no order, and no copy
            return Pack(everything, [self.data.rows] * count, is_full=True)
        spans, sizes = batches_of(self.plan, step, count)
        first, apart = self.share.start or 0, self.share.step or 1
        rows = [
            self.order.rows(epoch, first + start * apart, first + stop * apart, apart) for epoch, start, stop in spans
        ]
        return Pack(self.data.take(torch.cat(rows)), sizes)


def batches_of(plan: Plan, step: int, count: int) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Returns where `count` batches from `step` on lie, as passes with first and last position, and their sizes."""
    size = plan.batch_rows
    spans: list[tuple[int, int, int]] = []
    sizes: list[int] = []
    while len(sizes) < count:
        epoch, index = divmod(step + len(sizes), plan.steps_per_epoch)
        whole = min(count - len(sizes), plan.steps_per_epoch - index)
        start, stop = index * size, min((index + whole) * size, plan.rows)
        spans.append((epoch, start, stop))
        sizes += [size] * (whole - 1) + [stop - start - (whole - 1) * size]
    return spans, sizes


class DataModule(LightningDataModule):
    """A source as Lightning's data module.

    Args:
        source: what to load.
        dtype: of features, and of targets that are values.
        seed: the run's seed, for the order of the batches.
        pack: batches in a pack; `auto` to let packs choose their length.
        batches: of each split that are loaded at most, of the source's size; None for all.
        overfit: training batches that are loaded at most, and stand for the validation split as well; None for all.
    """

    plan: Plan
    """How the run is divided, which depends on the rows that were loaded."""
    scaling: Scaling
    """Scaling of features and targets, fitted on the training rows that were loaded."""

    def __init__(
        self,
        source: Source,
        *,
        dtype: torch.dtype,
        seed: int,
        pack: int | str,
        batches: int | None = None,
        overfit: int | None = None,
    ) -> None:
        super().__init__()
        self.batches, self.overfit = batches, overfit
        self.source, self.dtype, self.seed, self.pack = source, dtype, seed, pack
        self.splits: dict[str, Rows] = {}

    @property
    def spec(self) -> DataSpec:
        return self.source.spec

    @property
    def rows(self) -> int:
        """Training rows."""
        return self.splits["train"].rows

    def load(self) -> None:
        """Loads and scales all splits, before the Trainer starts: a wrong file is the user's to mend, not a failed run.

        Raises:
            ValueError: the source cannot be had.
        """
        splits = {name: self._first(split, self.batches) for name, split in self.source.load().items()}
        if self.overfit is not None:
            splits["train"] = self._first(splits["train"], self.overfit)
            splits |= {"val": splits["train"]} if "val" in splits else {}
        self.scaling = Scaling.fit(splits["train"], self.source.scale, self.spec.task)
        streamed = {name: Streamed(split, self.scaling, self.spec.task, self.dtype) for name, split in splits.items()}
        self.splits = {name: rows if self.source.streams else held(rows) for name, rows in streamed.items()}

    def _first(self, split: Split, batches: int | None) -> Split:
        """Returns the first rows of a split: so that a row keeps the number by which messages name it."""
        if batches is None or self.source.batch_size == "full":
            return split
        return Split(*(values[: batches * self.source.batch_size] for values in split))

    def first_batch(self, rows: int) -> Batch:
        """Returns the first `rows` rows of the run's first step, before the Trainer has moved them."""
        packs = Packs(self.splits["train"], self.plan, seed=self.seed, length=1, start=lambda: 0, share=slice(None))
        x, y = packs.pack(0, 1).batches[0]
        return Batch(x[:rows], y[:rows])

    def outlier(self, split: str, evaluation: Evaluation | None = None) -> str | None:
        """Returns a sentence about a value too large to be measured, or a row that is not, if a split has one."""
        rows = self.splits[split]
        found = outlier(rows, self.spec, self.scaling)
        if found is None and evaluation is not None:
            found = evaluation.unmeasurable(rows)
        return None if found is None else self.named(found, split)

    def named(self, found: Outlier, split: str) -> str:
        """Returns a sentence about a row of a split."""
        if split == "val" and self.overfit is not None:
            split = "train"
        return f"{found.what} in {self.source.row_name(split, found.row)}; correct it, or leave the row out"

    def train_dataloader(self) -> Packs:
        """Brings every split that is held to the device. Each of several devices takes every n-th row of one order."""
        trainer = self.trainer
        assert trainer is not None
        device = trainer.strategy.root_device
        self.splits = {name: split.to(device) for name, split in self.splits.items()}
        by_clock = None if trainer.world_size == 1 else FIRST_LENGTH  # several devices must take the same packs
        return Packs(
            self.splits["train"],
            self.plan,
            seed=self.seed,
            length=self.pack if isinstance(self.pack, int) else by_clock,
            start=lambda: trainer.global_step,
            share=slice(trainer.global_rank, None, trainer.world_size),
        )
