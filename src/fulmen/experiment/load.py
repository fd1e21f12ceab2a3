"""Trained networks, loaded from a run's folder or from a checkpoint alone: a file, or an address on the web.

A checkpoint is data: tensors and plain values, read without running any code. The parts that its configuration names
are made only if they are Fulmen's own, or from modules that the user allows.
"""

import dataclasses
import html
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from fulmen.config import allowlist, recorded
from fulmen.config.allowlist import make
from fulmen.config.groups import make_importable
from fulmen.data.scaling import Scaling
from fulmen.data.source import DataSpec, Source
from fulmen.data.tensors import Rows, chunks
from fulmen.errors import CheckpointError, ConfigurationError, first_line, one_line, warn
from fulmen.experiment.build import metrics_of
from fulmen.models.initializers import load_weights, new_network
from fulmen.models.precision import converted
from fulmen.rules import check, one_of, type_of
from fulmen.runs import checkpoints
from fulmen.runs.checkpoints import ADDRESS
from fulmen.runs.files import expand_home, seen_from_here
from fulmen.runs.folder import BEST, LAST, PREVIOUS, load_status
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.losses import as_loss
from fulmen.tasks.predictor import Predictor, task_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

OTHER_CODE = (
    "the network's code, or a variable of the environment, has changed since; restore it, perhaps from the commit in "
    "status.json, or train anew"
)
COMPARED_ROWS = 32
"""Rows that are predicted by the trained network and by the one loaded again."""
MOST_THREADS = 1024
"""Threads of the CPU that a checkpoint may ask for."""


@dataclass(frozen=True)
class Run:
    """A run in memory; all of it is in its folder, too."""

    metrics: dict[str, Any]
    """The content of `metrics.json`."""
    model: nn.Module
    """The network with the weights that were evaluated, on the CPU, in evaluation mode."""
    folder: Path
    """The run's folder, or the checkpoint alone that it was loaded from; absolute, for when the directory changes."""
    predictor: Predictor
    """Turns new rows into predictions."""

    @property
    def history(self) -> "pd.DataFrame":
        """The content of `history.csv`: a row for each interval of the training.

        Raises:
            ValueError: a checkpoint alone has none.
        """
        import pandas as pd

        path = self.folder / "history.csv"
        if not path.is_file():
            raise ValueError(
                f"{seen_from_here(self.folder)} has no history.csv: a checkpoint alone has no history; "
                "load a run's folder"
            )
        return pd.read_csv(path)

    def plot(self) -> "Figure":
        """Plots the losses during training.

        Raises:
            ValueError: as `history`.
        """
        from fulmen.figures import plots

        if "ipykernel" in sys.modules:
            import_module("matplotlib_inline.backend_inline")  # from then on, a notebook shows figures
        history = self.history
        val = history["val/loss"].to_numpy(float) if "val/loss" in history else None
        steps, train = (history[name].to_numpy(float) for name in ("step", "train/loss"))
        return plots.training(plots.Curve("", steps, train, val))

    def _repr_html_(self) -> str:
        """Returns the metrics as a table, which notebooks show."""
        import pandas as pd

        table: dict[str, dict[str, float]] = {}
        for name, value in self.metrics.items():
            split, _, metric = name.rpartition("/")
            if split and isinstance(value, float):
                table.setdefault(split, {})[metric] = value
        shown = pd.DataFrame(table).to_html(float_format="{:.4g}".format, na_rep="") if table else ""
        return f"<code>{html.escape(str(seen_from_here(self.folder)))}</code>{shown}"

    def __repr__(self) -> str:
        figures = {name: value for name, value in self.metrics.items() if isinstance(value, float)}
        shown = {name: value for name, value in figures.items() if name.startswith("test/")} or figures
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
        return f"<run {seen_from_here(self.folder)}: {metrics}>"

    def predict(self, rows: Any) -> NDArray[Any]:
        """Predicts new rows, which are scaled and encoded as the training rows were.

        Args:
            rows: a pandas DataFrame, matched by the names of the features; an array or lists, [N, *in_shape]; or, of
                images, paths of files or of a folder.

        Returns:
            Values [N, T] in the targets' units, or classes [N], of the type that they have in the training rows.

        Raises:
            ValueError: rows lack a feature, or have another shape.
        """
        return self.predictor.predict(rows)

    def features(self, rows: Any) -> NDArray[Any]:
        """Encodes new rows as numbers, [N, *in_shape], not scaled: the input of an exported network.

        Raises:
            ValueError: as `predict`.
        """
        return self.predictor.features(rows)

    def predict_proba(self, rows: Any) -> NDArray[np.floating]:
        """Returns class probabilities of new rows, [N, K], in the order of the classes' names.

        Raises:
            ValueError: as `predict`, and where values are learned and not classes.
        """
        if self.predictor.spec.task == "regression":
            raise ValueError("this network gives values and no probabilities; use predict")
        return self.predictor.scores(rows)


def metadata(
    config: Mapping[str, Any], source: Source, scaling: Scaling, fingerprint: str, threads: int
) -> dict[str, Any]:
    """Returns what a checkpoint keeps beside the weights, as plain values."""
    return {
        "config": dict(config),
        "spec": dataclasses.asdict(source.spec),
        "scaling": scaling.plain(),
        "learned": source.state_dict(),
        "fingerprint": fingerprint,
        "threads": threads,
    }


@dataclass(frozen=True)
class Trained:
    """A network loaded from a checkpoint, with its configuration, data source and predictor."""

    path: str
    """The checkpoint's."""
    config: DictConfig
    """As `compose` gives one."""
    source: Source
    """The data it was trained on; not loaded, and its files need not be there."""
    predictor: Predictor
    threads: int
    """CPU threads of its run."""
    fingerprint: str
    """A hash of the rows that it was trained on."""


def load(
    where: str | Path, *, weights: str | None = None, trust_checkpoint: bool = False, allow_targets: Sequence[str] = ()
) -> Run:
    """Returns a run as `fulmen.train` did; a checkpoint alone has no metrics.

    Args:
        where: a run's folder, a checkpoint, or its address (http or https).
        weights: `best` or `last`, of a run's folder; by default those that it evaluated.
        trust_checkpoint: whether it may hold more than plain values, and so run its author's code.
        allow_targets: modules of your own whose parts it may name.

    Raises:
        ValueError: there is no checkpoint, or none that can be used; says why.
    """
    trained = read(where, weights=weights, trust_checkpoint=trust_checkpoint, allow_targets=allow_targets)
    folder, metrics = expand_home(str(where)), dict[str, Any]()
    if weights in (None, trained.config.get("weights")):  # those that were measured
        with suppress(OSError, ValueError):
            metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    folder = folder if str(where).startswith(ADDRESS) else folder.absolute()
    return Run(metrics, trained.predictor.evaluation.net, folder, trained.predictor)


def read(
    where: str | Path, *, weights: str | None = None, trust_checkpoint: bool = False, allow_targets: Sequence[str] = ()
) -> Trained:
    """Loads as `load` does, and returns the configuration and the source as well."""
    path = find(str(where), weights)
    if trust_checkpoint:
        make_importable()  # a checkpoint may hold objects of classes of the user's own
    content = checkpoints.load(path, trust=trust_checkpoint)
    try:
        metadata = content["metadata"]
        state = weights_in(content)
        config, learned = recorded.of_record(metadata["config"]), dict(metadata["learned"])
        spec = DataSpec.of(metadata["spec"])
        scaling = Scaling.of(metadata["scaling"], spec)
        precision, fingerprint = str(config.trainer.precision), str(metadata["fingerprint"])
        threads = min(max(1, int(metadata["threads"])), MOST_THREADS)
        OmegaConf.update(config, "allow_targets", list(allow_targets), merge=False)
        allowlist.check(config, typed=[f"allow_targets=[{','.join(allow_targets)}]"])
        config.logger = None  # none is made here, and where MLflow is may stand in the environment
        folder = expand_home(str(where)) if expand_home(str(where)).is_dir() else None
        recorded.check_environment(config, folder, trust=trust_checkpoint)
        if folder is not None:
            config = recorded.anchored(config, load_status(folder).get("directory", ""))
            recorded.warn_if_code_changed(config, folder)
        elif not trust_checkpoint:
            config = recorded.without_places(config)
        parts = [config[name] for name in ("data", "model", "loss")]
    except ConfigurationError:
        raise
    except Exception as error:  # of what it holds instead, Python and OmegaConf raise whatever that leads to
        raise CheckpointError(f"{path} is no checkpoint of Fulmen's: it does not say what network it is of") from error
    try:
        source, model, loss = map(make, parts)
        further = metrics_of(config)
        if not isinstance(source, Source):
            raise TypeError(f"its data is {type_of(source)}")
        source.load_state_dict(learned)
        if config.model._target_ in allowlist.shipped():  # one of the user's own may look at numbers when it is made
            _check_sizes(model, spec, precision, state)
        with torch.random.fork_rng(devices=[]):  # drawing first weights is nobody's business here
            net = new_network(model, spec.in_shape, spec.out_features, precision)
        evaluation = Evaluation(net, task_of(net, spec, scaling), as_loss(loss), precision, further)
    except Exception as error:  # whatever parts of another version, or of the user's own, may raise
        why = first_line(error)
        raise CheckpointError(f"the network in {path} cannot be made from what it says ({why})") from error
    try:
        load_weights(net, state)
    except ValueError as error:
        raise CheckpointError(f"{path} does not fit your code: {error}; {OTHER_CODE}") from error
    converted(net, precision).eval()
    return Trained(path, config, source, Predictor(evaluation, spec, scaling, source.encode), threads, fingerprint)


def check_round_trip(
    folder: Path, weights: str, model: Callable[..., nn.Module], predictor: Predictor, rows: Rows, *, trust: bool
) -> None:
    """Warns if the network of a run's checkpoint does not predict what the one that was trained does.

    Args:
        folder: the run's.
        weights: `best` or `last`: those that the trained network has.
        model: makes the network.
        predictor: with the trained network, on the CPU.
        rows: of which the first few are predicted.
        trust: as for `checkpoints.load`.
    """
    evaluation = predictor.evaluation
    try:
        content = checkpoints.load(find(str(folder), weights), trust=trust)
        with torch.random.fork_rng(devices=[]):
            net = new_network(model, predictor.spec.in_shape, predictor.spec.out_features, evaluation.precision)
        load_weights(net, weights_in(content))
        net = converted(net, evaluation.precision).eval()
        x = next(iter(chunks(rows))).x[:COMPARED_ROWS].cpu()
        found, again, trained = (
            each.scores(x) for each in (dataclasses.replace(evaluation, net=net), evaluation, evaluation)
        )
    except Exception as error:  # whatever a network of the user's own may raise; the run itself is complete
        warn(f"the checkpoint in {folder} cannot be loaded again: {one_line(error)}")
        return
    if not torch.allclose(again, trained, rtol=1e-3, atol=1e-5, equal_nan=True):
        warn("the network predicts other values for the same rows each time, so the figures cannot be had again")
    elif not torch.allclose(found, trained, rtol=1e-3, atol=1e-5, equal_nan=True):
        warn(
            f"the network loaded from {folder} predicts other values than the trained one: it depends on something "
            "that is no parameter and no buffer, and so in no checkpoint; use self.register_buffer(name, tensor) for it"
        )


def weights_in(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the tensors of the network in a checkpoint."""
    return {str(name).removeprefix("net."): value for name, value in content["state_dict"].items()}


def _check_sizes(model: Callable[..., nn.Module], spec: DataSpec, precision: str, state: Mapping[str, Tensor]) -> None:
    """Compares the network that a checkpoint describes with its tensors before any memory is taken for it.

    Raises:
        ValueError: a tensor has another shape, or the file holds fewer numbers than the network has.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        wanted = new_network(model, spec.in_shape, spec.out_features, precision).state_dict()
    for name, tensor in wanted.items():
        if name in state and state[name].shape != tensor.shape:
            raise ValueError(f"its {name} has the shape {[*state[name].shape]}, not {[*tensor.shape]}")
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in state.values()}
    if sum(tensor.nbytes for tensor in wanted.values()) > 4 * sum(storages.values()):  # 64-bit numbers stored in 16
        raise ValueError("it has more numbers than the file holds")


def find(where: str, weights: str | None) -> str:
    """Finds the checkpoint meant by a run's folder, a file or an address.

    Raises:
        CheckpointError: there is none.
    """
    if weights is not None:
        check("weights", weights, one_of("best", "last"))
    folder = expand_home(where)
    if where.startswith(ADDRESS) or folder.is_file():
        if weights is not None:
            raise CheckpointError(f"weights={weights} chooses among those of a run's folder, and {where} is one file")
        return where if where.startswith(ADDRESS) else str(folder)
    if folder.suffix == ".ckpt":
        raise CheckpointError(f"there is no checkpoint {where}")
    which = weights or recorded.configuration(folder).weights
    names = [BEST, *([LAST] if weights is None else [])] if which == "best" else [LAST, PREVIOUS]
    there = [folder / "checkpoints" / name for name in names if (folder / "checkpoints" / name).is_file()]
    if not there:
        raise CheckpointError(f"{folder} has no {' and no '.join(names)} yet")
    return str(there[0])
