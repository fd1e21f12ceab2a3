"""Writes a trained network for other programs to use, as ONNX or as torch.export has it.

usage: fulmen export RUN [output=FILE.onnx|FILE.pt2] [option=value ...]

RUN is a run's folder, a checkpoint, or the address of one (https://...).

options
  output=FILE            .onnx or .pt2; by default `model.onnx` in the run's folder, or beside the checkpoint
  input=FILE             rows to check with, as for `fulmen predict`; by default those the network was trained on
  weights=best|last      which of a run's checkpoints; by default those that it evaluated
  trust_checkpoint=true  load a checkpoint that holds more than plain values: runs code of whoever made it
  allow_targets=[NAME]   modules of your own that the checkpoint may name
  --config-dir=FOLDER    the folder that these modules are in, outside of a project

  fulmen export logs/runs/2026-11-24_10-00-00_ab12cd output=model.onnx

Scaling and output activation are inside. The network takes `features` [rows, ...] and gives `predictions`: values in
the targets' units [rows, targets], or class probabilities [rows, classes]. Features are as the data set gives them:
images, for instance, channels first and from 0 to 1. The names of features and of targets or
classes are in the file, as JSON under `fulmen`. Text columns of a table are not inside: the features are their
encoding, as `fulmen.load(RUN).features(rows)` gives it.

What was written is loaded again, and must give what PyTorch gives on real rows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fulmen.cli import arguments, predict
from fulmen.data.chunks import read
from fulmen.data.source import SPLITS
from fulmen.errors import ConfigurationError

if TYPE_CHECKING:
    from fulmen.experiment.load import Trained


OPTIONS = {
    "output": "an .onnx or a .pt2 file",
    "input": "rows to check with",
    **arguments.OPTIONS,
}
ENDINGS = (".onnx", ".pt2")
MOST_ROWS = 1000
"""With which the file is checked."""


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Raises:
        ValueError: says what is wrong with its arguments, the checkpoint or the rows; or that the file would not
            give the same predictions, and is not kept.
    """
    given = arguments.parse(argv, OPTIONS)
    output = arguments.output(given, ENDINGS)
    network = arguments.load(given)
    output = output or _beside(given.subjects[0])
    pass

    from fulmen.experiment.export import export  # and with it torch

    features = _features(network, given.options.get("input"))
    difference = export(network.predictor, features, output)
    print(f"{output}: predictions differ from PyTorch's by {difference:.1e} at most, on {len(features)} rows")
    return 0


def _beside(subject: str) -> Path:
    if "://" in subject:
        return Path("model.onnx")
    return (Path(subject) if Path(subject).is_dir() else Path(subject).parent) / "model.onnx"


def _features(network: "Trained", file: str | None) -> NDArray[Any]:
    """Returns real rows, [N, *in_shape], not scaled."""
    if file is not None:
        return network.predictor.features(predict.rows(network.source, file))[:MOST_ROWS]
    try:
        splits = network.source.load()
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"the rows to check with are not there: {error} Or name others with input=") from error
    return read(next(splits[name].x for name in reversed(SPLITS) if name in splits), slice(MOST_ROWS))
