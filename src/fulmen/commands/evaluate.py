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

  fulmen evaluate logs/runs/2026-11-24_10-00-00_ab12cd split=test
  fulmen evaluate model.ckpt data.seed=1
  fulmen evaluate RUN data.path=new.csv          a network that learned a table: all rows of another one

The figures are a table on the error stream, and JSON with the keys of metrics.json.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from fulmen import accelerators, preflight, recorded, report
from fulmen.commands import arguments, trained
from fulmen.data.source import SPLITS, Joint, Split
from fulmen.data.tensors import tensors
from fulmen.files import write_text
from fulmen.loading import Trained
from fulmen.precision import data_type
from fulmen.words import ConfigurationError

OPTIONS = {
    "split": "train, val, test or all",
    "output": "a JSON file",
    "accelerator": "cpu, gpu, mps or auto",
    **trained.OPTIONS,
}


def main(words: Sequence[str]) -> int:
    """The command.

    Raises:
        ValueError: says what is wrong with its words, the checkpoint or the data.
    """
    given = arguments.sort(words, OPTIONS, configuration=True)
    output = arguments.output(given)
    network = trained.load(given)
    splits = _chosen(_splits(network, given.words), given.options.get("split"))
    figures = _figures(network, splits, given.options.get("accelerator", "cpu"))
    report.print_metrics(figures, title=network.path)
    text = json.dumps(figures, indent=2) + "\n"
    if output is None:
        print(text, end="")
    else:
        write_text(output, text)
    return 0


def _splits(network: Trained, words: Sequence[str]) -> dict[str, Split]:
    """The rows to measure on: those that the network was trained on, or those that `words` name."""
    if not words:
        return network.source.load()
    config = recorded.with_data(network.config, words)
    another_file = any(word.startswith("data.path=") for word in words)
    if another_file:  # which nothing was trained on, so that there is nothing to hold out
        config.data.val_size = config.data.test_size = 0
    source = preflight.source(config)
    if type(source) is type(network.source):
        source.recall(network.source.learned())
    _check_fit(source.joint, network.predictor.joint)
    splits = source.load()
    return {"all": splits["train"]} if another_file else splits


def _check_fit(data: Joint, network: Joint) -> None:
    for name in ("task", "in_shape", "out_features"):
        there, wanted = getattr(data, name), getattr(network, name)
        if there != wanted:
            raise ConfigurationError(f"this data does not fit the network: its {name} is {there}, not {wanted}")


def _chosen(splits: dict[str, Split], name: str | None) -> dict[str, Split]:
    if name is None:
        return splits
    if name == "all" and name not in splits:
        parts = [splits[split] for split in SPLITS if split in splits]
        return {"all": Split(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))}
    return {name: splits[arguments.one_of("split", name, [*splits, *({"all"} - splits.keys())])]}


def _figures(network: Trained, splits: Mapping[str, Split], accelerator: str) -> dict[str, object]:
    torch.set_num_threads(network.threads)  # so that the last bits are those of the run
    predictor, evaluation = network.predictor, network.predictor.evaluation
    dtype = data_type(evaluation.precision)
    arguments.one_of("accelerator", accelerator, ["auto", *accelerators.DEVICES])
    device = accelerators.DEVICES[accelerators.find(accelerator, dtype)]
    evaluation.net.to(device)
    batches = {
        name: tensors(predictor.scaling(split), predictor.joint.task, dtype).to(device)
        for name, split in splits.items()
    }
    return evaluation.all_figures(batches)
