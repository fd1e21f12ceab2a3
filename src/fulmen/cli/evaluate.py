"""Measures a trained network on a split of its data, or of other data that fits.

usage: fulmen evaluate RUN [option=value ...] [data=choice] [data.key=value ...] [data.path=FILE]

RUN is a run's folder, a checkpoint, or the address of one (https://...).

options
  split=NAME             train, val or test; by default each that there is; all: every row together
  output=FILE.json       where the figures go; by default the standard output
  weights=best|last      which of a run's checkpoints; by default those that it evaluated
  accelerator=NAME       cpu (the default), gpu, mps or auto
  trust_checkpoint=true  load a checkpoint that holds more than plain values: runs code of whoever made it
  allow_targets=[NAME]   modules of your own that the checkpoint may name
  --config-dir=FOLDER    the folder that these modules are in, outside of a project

  fulmen evaluate logs/runs/2026-11-24_10-00-00_ab12cd split=test
  fulmen evaluate model.ckpt data.seed=1
  fulmen evaluate RUN data.path=new.csv          a network that learned a table: all rows of another one

The figures are a table on the error stream, and JSON with the keys of metrics.json.
"""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fulmen.cli import arguments
from fulmen.config import recorded, validate
from fulmen.data.source import SPLITS, DataSpec, Source, Split
from fulmen.errors import ConfigurationError, warn
from fulmen.runs.files import write_json
from fulmen.runs.folder import load_status, read_metrics

if TYPE_CHECKING:
    from fulmen.data.tensors import Streamed
    from fulmen.experiment.load import Trained

NOTHING: Mapping[str, Any] = {"time": None, "group": None, "leave_out": []}
"""Keys of a table that say nothing about new rows."""
ACCELERATORS = ("auto", "cpu", "gpu", "mps")
OPTIONS = {
    "split": "train, val, test or all",
    "output": "a JSON file",
    "accelerator": "cpu, gpu, mps or auto",
    **arguments.OPTIONS,
}


def main(argv: Sequence[str], config_dir: str | None = None) -> int:
    """Runs the command.

    Raises:
        ValueError: says what is wrong with its arguments, the checkpoint or the data.
    """
    given = arguments.parse(argv, OPTIONS, configuration=True)
    output = arguments.output(given, (".json",))
    accelerator = arguments.one_of("accelerator", given.options.get("accelerator", "cpu"), ACCELERATORS)
    network = arguments.load(given)
    device = _device(network, accelerator)
    source, splits = _splits(network, given.overrides, config_dir)
    if source is network.source:
        _warn_if_changed(network, splits["train"])
    splits = _chosen(splits, given.options.get("split"), streams=source.streams)
    figures = _figures(network, source, splits, device)
    if source is network.source and "weights" not in given.options:
        _warn_of_other_figures(figures, Path(given.subjects[0]), device)
    from fulmen.experiment import console

    console.print_metrics(figures, title=network.path)
    if output is None:
        print(json.dumps(figures, indent=2, allow_nan=False))
    else:
        write_json(output, figures)
    return 0


def _splits(network: "Trained", overrides: Sequence[str], config_dir: str | None) -> tuple[Source, dict[str, Split]]:
    """Returns the rows to measure on: those that the network was trained on, or those that `overrides` name."""
    if not overrides:
        return network.source, network.source.load()
    config = recorded.with_data(network.config, overrides, config_dir)
    another_file = "val_size" in config.data and any(override.startswith("data.path=") for override in overrides)
    if another_file:  # which nothing was trained on, so that there is nothing to hold out
        config.data.val_size = config.data.test_size = 0
        for name in NOTHING.keys() & config.data.keys():
            config.data[name] = NOTHING[name]
    source = validate.source(config.data)
    if type(source) is type(network.source):
        source.load_state_dict(network.source.state_dict())
    _check_fit(source.spec, network.predictor.spec)
    splits = source.load()
    return source, {"all": splits["train"]} if another_file and len(splits) == 1 else splits


def _check_fit(data: DataSpec, network: DataSpec) -> None:
    for name in ("task", "in_shape", "out_features"):
        there, wanted = getattr(data, name), getattr(network, name)
        if there != wanted:
            raise ConfigurationError(f"this data does not fit the network: its {name} is {there}, not {wanted}")


def _chosen(splits: dict[str, Split], name: str | None, *, streams: bool) -> dict[str, Split]:
    if name is None:
        return splits
    if name == "all" and streams:
        raise ConfigurationError("split=all brings every row into memory, and these stay in files; name one split")
    if name == "all" and name not in splits:
        parts = [splits[split] for split in SPLITS if split in splits]
        return {"all": Split(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))}
    return {name: splits[arguments.one_of("split", name, [*splits, *({"all"} - splits.keys())])]}


def _device(network: "Trained", accelerator: str) -> str:
    from fulmen.training import accelerators

    return accelerators.DEVICES[accelerators.find(accelerator, network.predictor.dtype)]


def _streamed(network: "Trained", split: Split) -> "Streamed":
    from fulmen.data.tensors import Streamed

    predictor = network.predictor
    return Streamed(split, predictor.scaling, predictor.spec.task, predictor.dtype)


def _warn_if_changed(network: "Trained", train: Split) -> None:
    """Warns if a network's own data has changed since it was trained: divided again, any split may hold its rows."""
    from fulmen.data.tensors import fingerprint, held

    rows = _streamed(network, train)
    if fingerprint(rows if network.source.streams else held(rows)) != network.fingerprint:
        warn("the data has changed since the network was trained, so any split may hold rows that it was trained on")


def _warn_of_other_figures(figures: Mapping[str, Any], folder: Path, device: str) -> None:
    """Warns if the run measured something else, with the same weights on the same kind of device."""
    measured: dict[str, Any] = {}
    if str(load_status(folder).get("device")).startswith(device):
        with suppress(ConfigurationError):  # they are damaged
            measured = read_metrics(folder)
    for name in figures.keys() & measured.keys():
        before, now = measured[name], figures[name]
        if isinstance(now, float) and not math.isclose(before, now, rel_tol=1e-3, abs_tol=1e-6):
            why = "its code, data or libraries have changed"
            warn(f"{name} is {now:.4g}, and was {before:.4g} when the run ended: {why}")
            return


def _figures(network: "Trained", source: Source, splits: Mapping[str, Split], device: str) -> dict[str, Any]:
    """Computes the metrics as the run did for `metrics.json`, with as many threads."""
    import torch

    from fulmen.data.tensors import held
    from fulmen.tasks.outliers import outlier

    torch.set_num_threads(network.threads)
    evaluation = network.predictor.evaluation
    streamed = {name: _streamed(network, split) for name, split in splits.items()}
    rows = {name: split if source.streams else held(split) for name, split in streamed.items()}
    evaluation.net.to(device)
    rows = {name: split.to(device) for name, split in rows.items()}
    figures = evaluation.all_metrics(rows)
    for name, split in rows.items():
        if not math.isfinite(figures[f"{name}/loss"]):
            spec, scaling = network.predictor.spec, network.predictor.scaling
            found = outlier(split, spec, scaling) or evaluation.unmeasurable(split)
            why = "" if found is None else f": {found.what} in {source.row_name(name, found.row)}"
            raise ValueError(f"{name}/loss is {figures[f'{name}/loss']} and no number to report{why}")
    return figures
