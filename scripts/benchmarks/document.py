"""What was measured, as a page in Markdown with a picture."""

import math
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.features import Features
from benchmarks.growth import Curve
from benchmarks.stacks import Stacks
from benchmarks.threads import Choice
from benchmarks.timing import Result
from fulmen.runs.files import write_text

LIBRARIES = ("torch", "lightning", "torchmetrics", "hydra-core", "scikit-learn", "numpy", "tensorboard")
SCALES = {"s": 1.0, "ms": 1e3, "µs": 1e6, "MB": 1e-6}
FEATURE_GOAL = 0.05
THREADS_GOAL = 1.2
BENT = 1.2
"""A ratio from which on a curve of ours is said to leave the plain loop's."""
PICTURE, OF_STACKS = Path("pictures", "performance.png"), Path("pictures", "stacks.png")
REASONS = {
    "step, full batch of 1000": "The arithmetic on a thousand rows is the same in both, and nearly all of a step. What "
    "packs save of the rest, intervals spend: every 80 steps an evaluation, a row, points and the Trainer's own work.",
    "start to first step": "Lightning imports `torch._dynamo`, a third of the time, for one class to compare with, and "
    "torch's own optimizers would otherwise import it when they are made; torchmetrics imports matplotlib.",
    "step, mini-batch of 32, `trainer.compile=true`": "Half of a compiled step is the loop around its arithmetic, "
    "which hands on seven tensors; the rest is validation, records and the Trainer's own work at each interval.",
    "digits, 784-50-10, 10 passes": "scikit-learn takes a step without a graph, in NumPy.",
    "fit of 1001 steps, full batch of 1000": "So short a fit has an interval every 51 steps, two checkpoints and the "
    "Trainer's beginning and end.",
    "a step of each of 64 copies, compiled": "JAX makes the same kind of loop over all copies, so that little is left "
    "between the two; it has its batches in order before, and looks for no loss that is not finite.",
    "64 runs of 3,200 steps, a whole process": "Before its first step a process takes seconds, as above: about as many "
    "as the goal leaves for all.",
    "64 runs of 3,200 steps, a whole process, compiled": "Compiling takes longer than it saves in runs so short; "
    "`trainer.compile=auto` leaves it out here.",
    "1,024 runs of 3,200 steps, a whole process, compiled": "Compiling, and a thousand records and plans, take longer "
    "than the steps.",
    "1,024 copies of 16,010 weights beyond 2, 20 intervals": "Best weights, gradient, update, new weights and the "
    "stack's checkpoint are five tensors more, as large as all weights; the rest is what layers give.",
}
"""Why a goal may be missed."""
BENDS = {
    "features": "An interval is two passes here, and ends with an evaluation of as many validation rows as a pass has, "
    "and checkpoints hold weights, best weights and Adam's two averages: with many features this is felt.",
    "passes": "A fit costs the Trainer, TensorBoard's file and two checkpoints before and after its steps.",
    "rows": "Ours measures every split as scores, loss, accuracy, F1, AUROC (which sorts) and a confusion matrix, and "
    "keeps a fingerprint of the training rows; the loop finds loss and accuracy.",
}
"""Why a curve of ours leaves the plain loop's."""


@dataclass
class Findings:
    """All that was measured; what was not is empty."""

    goals: list[Result] = field(default_factory=list)
    whole: dict[str, float] = field(default_factory=dict)
    stacks: Stacks | None = None
    features: Features | None = None
    curves: list[Curve] = field(default_factory=list)
    threads: list[Choice] = field(default_factory=list)
    load: float | None = None
    """Of the machine, before anything was measured."""


def write(found: Findings, folder: Path, command: str) -> Path:
    """Writes the page and its pictures into a folder."""
    page = folder / "performance.md"
    (folder / PICTURE).parent.mkdir(parents=True, exist_ok=True)
    draw(found, folder / PICTURE)
    if found.stacks is not None:
        _draw_stacks(found.stacks, folder / OF_STACKS)
    write_text(page, text(found, command))
    return page


def text(found: Findings, command: str) -> str:
    """The page."""
    parts = [
        "# How fast it is",
        f"Measured by `{command}`, which writes this page, on {time.strftime('%Y-%m-%d')}: {machine(found.load)}.",
        f"Versions: Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in LIBRARIES)}.",
        "Ours and a peer do the same work in turn, A B A B, with one thread each; a ratio is the median over pairs, in "
        "brackets the smallest and the largest. A busy machine blurs seconds more than seconds of computing.",
        *(_goals(found.goals) if found.goals else []),
        *(_whole(found.whole) if found.whole else []),
        *(_stacks(found.stacks) if found.stacks else []),
        *(_features(found.features) if found.features else []),
        *(_growth(found.curves) if found.curves else []),
        *(_threads(found.threads) if found.threads else []),
    ]
    return "\n\n".join(parts) + "\n"


def machine(load: float | None) -> str:
    """The processor, how many there are, and how busy they were."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    name = names[0] if names else platform.processor() or platform.machine()
    busy = "" if load is None else f", where {load:.1f} processes were running before"
    return f"{name}, {os.cpu_count()} cores, {platform.system()}{busy}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _amount(value: float, unit: str) -> str:
    return (
        f"{value * SCALES[unit]:.3g} {unit}" if value * SCALES[unit] < 1000 else f"{value * SCALES[unit]:,.0f} {unit}"
    )


def _share(value: float, digits: str = ".2f") -> str:
    return "–" if math.isnan(value) else f"{value:{digits}}"


def _goals(results: Sequence[Result]) -> list[str]:
    picture = f"![ratios and growth]({PICTURE.as_posix()})"
    return [
        "## Goals",
        "With everything on: metrics, validation, TensorBoard, history, checkpoints, the bar. A step's cost is "
        "that of a long fit divided by its steps, checkpoints at both ends included.",
        table(GOAL_HEAD, map(_goal, results)),
        *_reasons(results),
        picture,
    ]


GOAL_HEAD = ("what", "peer", "ours", "peer's", "ratio", "of computing", "goal", "")


def _reasons(results: Sequence[Result]) -> list[str]:
    """Returns why goals were missed, once where several have the same name."""
    missed = dict.fromkeys(result.of.what for result in results if result.is_met is False)
    return [f"{what}: {REASONS[what]}" for what in missed if what in REASONS]


def _goal(result: Result) -> list[str]:
    of, (mine, other) = result.of, result.amounts
    limits = [] if of.goal is None or math.isinf(of.goal) else [f"{of.goal:.3g}"]
    limits += [] if of.limit is None else [_amount(of.limit, of.unit)]
    goal = f"at most {', '.join(limits)}" if limits else "for information"
    spread = f"{result.ratio:.2f} ({min(result.ratios):.2f} to {max(result.ratios):.2f})"
    amounts = (_amount(mine, of.unit), _amount(other, of.unit))
    return [of.what, of.peer, *amounts, spread, _share(result.cpu_ratio), goal, VERDICTS[result.is_met]]


VERDICTS = {None: "", True: "met", False: "**missed**"}


def _stacks(stacks: Stacks) -> list[str]:
    parts = [
        "## Stacked sweeps",
        "Runs that differ in seed, learning rate and the like train as one with `hydra/launcher=vectorized`; "
        "[stacking.md](stacking.md) describes it. A notebook's loop validates and records nothing. Of whole processes, "
        "two loops are measured, and multiplied by half the number of runs; what is compiled is compiled anew.",
        table(
            ("what", "peer", "ours", "peer's", "times faster", "of computing", "goal", ""), map(_faster, stacks.speed)
        ),
        *_reasons(stacks.speed),
        "What a run takes beside its training, and the largest memory of a process beyond that of one with two copies:",
        table(GOAL_HEAD, map(_goal, stacks.cost)),
        *_reasons(stacks.cost),
        "### By the number of copies",
        "A step alone, divided by the number of copies, without compiling; times faster than a single run's.",
    ]
    for curve in stacks.curves:
        rows = [(f"{n:,}", _amount(each, "µs"), f"{curve.alone / each:.1f}") for n, each in curve.points]
        best, times = curve.best
        pays = next((f"from {n:,} copies on" for n, each in curve.points if each < curve.alone), "at no number here")
        parts += [
            f"{curve.data}: a single run's step takes {_amount(curve.alone, 'µs')}. A stack is faster {pays}, and "
            f"fastest with {best:,}, {times:.1f} times.",
            table(("copies", "a step of a copy", "times faster"), rows),
        ]
    return [*parts, f"![times faster by the number of copies]({OF_STACKS.as_posix()})"]


def _faster(result: Result) -> list[str]:
    """Returns a row of what is to be several times faster than a peer."""
    of, times = result.of, sorted(1 / ratio for ratio in result.ratios)
    goal = "for information" if of.goal is None else f"at least {1 / of.goal:.3g}"
    spread = f"{1 / result.ratio:.3g} ({times[0]:.3g} to {times[-1]:.3g})"
    amounts = [_amount(amount, of.unit) for amount in result.amounts]
    return [of.what, of.peer, *amounts, spread, _share(1 / result.cpu_ratio, ".3g"), goal, VERDICTS[result.is_met]]


def _whole(parts: dict[str, float]) -> list[str]:
    total = sum(parts.values())
    rows = [(name, _amount(seconds, "s"), f"{seconds / total:.0%}") for name, seconds in parts.items()]
    return [
        "## A whole run",
        f"`python train.py` takes {_amount(total, 's')}, with the default model, data and figures, and 100 passes.",
        table(("part", "seconds", "share"), rows),
    ]


def _features(features: Features) -> list[str]:
    rows = [
        (
            each.name,
            _amount(each.seconds, "s"),
            f"{each.share:.1%}",
            "met" if each.share < FEATURE_GOAL else "**missed**",
        )
        for each in features.each
    ]
    return [
        "## What each feature costs",
        f"In the default run, {features.steps} steps: seconds in the feature's own calls, as a share of those that the "
        f"steps alone take. The goal is under {FEATURE_GOAL:.0%} each.",
        table(("feature", "in the run", "share of the steps", ""), rows),
        f"The final figures are drawn once, after the training: {_amount(features.figures, 's')}, however long it was; "
        "`figures=none` leaves them out.",
    ]


def _growth(curves: Iterable[Curve]) -> list[str]:
    parts = ["## How cost grows", "Beside a plain loop without a DataLoader and without any of our features."]
    for curve in curves:
        rows = [
            (f"{n:,}", *(_amount(a, curve.unit) for a in point.amounts), f"{point.ratio:.2f}")
            for n, point in curve.points
        ]
        parts += [
            f"### {curve.size.capitalize()}: {curve.what}",
            table((curve.size, "ours", "plain loop", "ratio"), rows),
        ]
        bends = any(result.ratio > BENT for _, result in curve.points)
        parts += [BENDS[curve.size]] if bends and curve.size in BENDS else []
    return parts


def _threads(choices: Iterable[Choice]) -> list[str]:
    rows = [
        (
            each.net,
            f"{each.rows:,}",
            *(_amount(seconds, "µs") for seconds in (each.one, each.all)),
            str(each.threads),
            f"{each.ratio:.2f}",
            "met" if each.ratio <= THREADS_GOAL else "**missed**",
        )
        for each in choices
    ]
    head = ("network", "rows in a step", "one thread", "all threads", "`auto` takes", "against the better", "")
    return [
        "## Threads",
        "The fastest step seen with one thread and with all. What `trainer.threads=auto` takes is to be at most "
        f"{THREADS_GOAL} times as slow as the better. Where other processes are busy, threads wait for each other and "
        "one is always better: this table means something on a quiet machine only.",
        table(head, rows),
    ]


def draw(found: Findings, path: Path) -> None:
    """Bars of the ratios, and a curve for each size that cost grows with."""
    figure = Figure((12, 11), layout="constrained")
    grid = figure.add_gridspec(3, 3)
    _bars(
        figure.add_subplot(grid[0, :]),
        [result for result in found.goals if result.of.goal is not None and math.isfinite(result.of.goal)],
    )
    for place, curve in enumerate(found.curves):
        _curve(figure.add_subplot(grid[1 + place // 3, place % 3]), curve)
    figure.savefig(path, dpi=100)


def _bars(axes: Axes, results: list[Result]) -> None:
    names = [result.of.what.replace("`", "") for result in results]
    shares = [result.ratio / (result.of.goal or 1) for result in results]
    axes.barh(names, shares, color=["tab:green" if result.is_met else "tab:red" for result in results])
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("ratio to the peer, as a share of the goal")


def _curve(axes: Axes, curve: Curve) -> None:
    sizes = [size for size, _ in curve.points]
    for label, index in (("ours", 0), ("plain loop", 1)):
        axes.loglog(
            sizes, [result.amounts[index] * SCALES[curve.unit] for _, result in curve.points], "o-", label=label
        )
    axes.set_xlabel(curve.size)
    axes.set_ylabel(f"{curve.what}, {curve.unit}")
    axes.legend()


def _draw_stacks(stacks: Stacks, path: Path) -> None:
    """Draws how many times faster a stack is by the number of its copies."""
    figure = Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    for curve, color, marker in zip(stacks.curves, ("#0072B2", "#D55E00", "#009E73"), "osD", strict=True):
        copies, times = [n for n, _ in curve.points], [curve.alone / each for _, each in curve.points]
        axes.loglog(copies, times, color=color, marker=marker, markersize=5)
        name = curve.data.replace("`", "")
        axes.annotate(name, (copies[-1], times[-1]), (8, -2), textcoords="offset points", color=color, va="top")
    ticks = sorted({n for curve in stacks.curves for n, _ in curve.points})
    axes.axhline(1, color="0.6", linewidth=1)
    axes.annotate("a single run", (ticks[-1], 1), (0, 3), textcoords="offset points", color="0.4", ha="right")
    axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axes.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.set_xlabel("copies in the stack")
    axes.set_ylabel("times faster, a step of each copy")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.05)
    figure.savefig(path, dpi=130)
