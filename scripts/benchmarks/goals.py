"""The goals: each kind of work, its peer, and how much of the peer's cost it may have."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import jax_peer, ours, peers
from benchmarks.timing import Clock, Comparison, Cost

HERE = Path(__file__).parent
COMMAND = (sys.executable, str(HERE.parents[1] / "train.py"))
TEMPLATE = (sys.executable, str(HERE / "template.py"))
ASKED = {
    "`--help`": ("--help",),
    "`--cfg job`": ("--cfg", "job"),
    "completion in a shell": ("-sc", "query=bash"),
}
"""What a user asks for before anything is trained."""
COMPLETION = {"COMP_LINE": "fulmen model=", "COMP_POINT": "13"}
"""What a shell says of the word to complete."""
FIRST_STEP = ("--config-dir", str(ours.OWN), ours.ALLOWED, "optimizer=first_step")
IMPORT = "import lightning.pytorch, os; os._exit(0)"
"""Left at once, as `own/first_step.py` leaves."""

MINI_BATCH = ("data=sine_boundary", "optimizer=adam", "trainer.precision=64-true")
FULL_BATCH = ("data=sine_boundary", "optimizer=sgd", "trainer.precision=64-true", "data.batch_size=full")
DIGITS = (
    "data=mnist_5k",
    "data.batch_size=64",
    "data.scale=features",
    "model=mlp",
    "model.hidden=[50]",
    "optimizer=nesterov",
    "optimizer.lr=0.01",
    "penalty=l2",
    "penalty.weight=7.8125e-7",  # alpha / (2 · batch), where alpha is scikit-learn's default
)
STEPS_A_PASS = 32
DIGITS_STEPS_A_PASS = 63


def start(quick: bool) -> Iterator[Comparison]:
    """What passes before anything is learned, each in a process of its own."""
    template = "Hydra program that imports torch and Lightning first"
    for what, words in [*ASKED.items()][: 1 if quick else None]:
        mine, other = (partial(process, *command, *words) for command in (COMMAND, TEMPLATE))
        yield Comparison(what, template, mine, other, goal=1 / 8, limit=0.7)
    yield Comparison(
        "start to first step",
        '`python -c "import lightning.pytorch"`',
        partial(process, *COMMAND, *FIRST_STEP),
        partial(process, sys.executable, "-c", "pass" if quick else IMPORT),
        goal=0.75,
    )


def process(*command: str) -> Cost:
    """A process, in an empty folder; it must end well."""
    before, environment = os.times(), {**os.environ, **COMPLETION}
    with TemporaryDirectory() as folder:
        clock = Clock()
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
        wall = clock.read().amount
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(wall, cpu or float("nan"))  # Windows does not know it


def steps(quick: bool) -> Iterator[Comparison]:
    """Training with everything on: metrics, validation, TensorBoard, history, checkpoints, bar."""
    passes, few = (2, 1) if quick else (250, 10)
    count, fewer = (100, 100) if quick else (8000, 1001)
    long_mini, short_mini = ((*MINI_BATCH, f"trainer.max_epochs={number}") for number in (passes, few))
    long_full, short_full = ((*FULL_BATCH, f"trainer.max_steps={number}") for number in (count, fewer))
    digits = (*DIGITS, f"trainer.max_epochs={few}")
    loader, loop, layers = (f"the notebook's {kind}" for kind in ("DataLoader loop", "plain loop", "loop, `nn.Linear`"))
    yield training("step, mini-batch of 32", loader, peers.notebook, long_mini, passes * STEPS_A_PASS, 0.4)
    yield training("10 passes, mini-batches of 32", "Lightning as usually written", peers.lightning, short_mini)
    yield training("step, full batch of 1000", loop, peers.notebook, long_full, count, 0.7)
    yield training("step, full batch of 1000", layers, peers.plain, long_full, count)
    yield training("fit of 1001 steps, full batch of 1000", loop, peers.notebook, short_full, goal=1.2)
    for kind in (np.float64,) if quick else (np.float64, np.float32):
        name = f"scikit-learn's MLPClassifier, {kind.__name__}"
        yield training("digits, 784-50-10, 10 passes", name, partial(peers.sklearn, kind), digits, goal=1.0)


def training(
    what: str,
    peer: str,
    loop: Callable[..., Cost],
    words: tuple[str, ...],
    count: int = 1,
    goal: float | None = None,
) -> Comparison:
    """A fit against a loop over the same rows from the same weights."""
    unit, pairs = ("µs", 3) if count > 1 else ("s", 9)  # of a step, or of all; what is short is soon disturbed
    return Comparison(what, peer, partial(ours.fit, *words), partial(loop, *words), goal, None, count, unit, pairs)


def compiled(quick: bool) -> Iterator[Comparison]:
    """Steps of runs as long as `trainer.compile=auto` compiles; that takes seconds: `--quick` leaves it out."""
    if quick:
        return
    even = (*MINI_BATCH, "data.train_size=1024")
    what, loader = "step, mini-batch of 32, `trainer.compile=true`", "the notebook's DataLoader loop"
    peer = partial(peers.notebook, *even, "trainer.max_epochs=50")
    yield _compiled(what, even, 2500, loader, peer, 50 * STEPS_A_PASS, 0.02)
    if find_spec("jax") is not None:
        peer = partial(jax_peer.scan, *even, "trainer.max_epochs=2500")
        yield _compiled(what, even, 2500, "JAX, `jit(scan)`, nothing recorded", peer, 2500 * STEPS_A_PASS, 1.0)
    peer = partial(peers.notebook, *MINI_BATCH, "trainer.max_epochs=50")
    yield _compiled(f"{what}, the last of 8", MINI_BATCH, 2500, loader, peer, 50 * STEPS_A_PASS)
    peer = partial(peers.sklearn, np.float32, *DIGITS, "trainer.max_epochs=10")
    name = "scikit-learn's MLPClassifier, float32"
    yield _compiled("digits, a step, `trainer.compile=true`", DIGITS, 20, name, peer, 10 * DIGITS_STEPS_A_PASS, 0.8)


def _compiled(
    what: str,
    words: tuple[str, ...],
    passes: int,
    name: str,
    peer: Callable[[], Cost],
    count: int,
    goal: float | None = None,
) -> Comparison:
    """Late steps of a compiled run against a step of a peer, which takes `count`."""
    mine = partial(ours.late_steps, *words, f"trainer.max_epochs={passes}", "trainer.compile=true")
    return Comparison(what, name, mine, lambda: peer().per(count), goal, unit="µs", pairs=3)


def memory(quick: bool) -> Iterator[Comparison]:
    """The largest memory of a process beyond that of one with a thousand rows."""
    rows = 10**5 if quick else 10**7
    size = rows * 3 * np.dtype(np.float32).itemsize
    held = "the tensors' own size"
    if sys.platform == "win32":  # where a process does not know its peak
        return
    if not quick:
        yield Comparison(
            "10 million rows of 2 features, drawn",
            held,
            partial(more_memory, (f"data.train_size={rows}",), ("data.train_size=1000",)),
            lambda: Cost(size, float("nan")),
            unit="MB",
            pairs=1,
        )
    yield Comparison(
        "10 million rows of 2 features, `data=arrays`",
        held,
        partial(more_memory_of_arrays, rows, quick),
        lambda: Cost(size, float("nan")),
        goal=1.5,
        unit="MB",
        pairs=1,
    )


def more_memory_of_arrays(rows: int, quick: bool) -> Cost:
    """The same for rows that lie in files; `--quick` compares with none, as each process imports for seconds."""
    arrays = ("data=arrays", "score=train/loss")  # there are no rows for validation
    with TemporaryDirectory() as many, TemporaryDirectory() as few:
        for folder, count in ((many, rows), (few, 1000)):
            x = np.random.default_rng(0).standard_normal((count, 2), dtype=np.float32)
            np.save(Path(folder, "train_x.npy"), x)
            np.save(Path(folder, "train_y.npy"), x.sum(1))
        words = (f"data.path={many}", *arrays)
        if quick:
            return Cost(_peak(words), float("nan"))
        return more_memory(words, (f"data.path={few}", *arrays))


def more_memory(words: tuple[str, ...], than: tuple[str, ...]) -> Cost:
    """Bytes that a run's process needs beyond another's."""
    many, few = (_peak(each) for each in (words, than))
    return Cost(many - few, float("nan"))


def _peak(words: tuple[str, ...]) -> int:
    return peak(*words, "data.batch_size=1000", "trainer.max_epochs=null", "trainer.max_steps=100")


def peak(*words: str) -> int:
    """Bytes, the largest memory of a process with these words."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "peak.py"), *words, *ours.COMMON]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return int(done.stderr.splitlines()[-1])
