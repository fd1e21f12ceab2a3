"""Writes a trained network for other programs to use, as ONNX or as torch.export has it.

usage: fulmen export RUN [output=FILE.onnx|FILE.pt2] [option=value ...]

RUN is a run's folder, a checkpoint, or the address of one (https://...).

options
  output=FILE            .onnx or .pt2; by default `model.onnx` in the run's folder, or beside the checkpoint
  input=FILE             rows to check with, as for `fulmen predict`; by default those the network was trained on
  weights=best|last      which of a run's checkpoints; by default those that it evaluated
  trust_checkpoint=true  load a checkpoint that holds more than plain values: runs code of whoever made it
  allow_targets=[NAME]   modules of your own that the checkpoint may name

  fulmen export logs/runs/2026-11-24_10-00-00_ab12cd output=model.onnx

Scaling and output activation are inside. The network takes `features` [rows, ...] and gives `predictions`: values in
the targets' units [rows, targets], or class probabilities [rows, classes]. The names of features and of targets or
classes are in the file, as JSON under `fulmen`. Text columns of a table are not inside: the features are their
encoding, as `fulmen.load(RUN).features(rows)` gives it.

What was written is loaded again, and must give what PyTorch gives on real rows.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fulmen.cli import arguments, predict
from fulmen.data.chunks import read
from fulmen.data.scaling import Standardizer
from fulmen.data.source import SPLITS
from fulmen.errors import ConfigurationError
from fulmen.models.precision import data_type
from fulmen.runs.files import replacing
from fulmen.tasks.predictor import Predictor, final

if TYPE_CHECKING:
    from fulmen.experiment.load import Trained

Features = NDArray[np.floating]
LARGEST_DIFFERENCE = 1e-5
"""Between predictions of the file and PyTorch's: of a probability, or in units of a target's deviation or size."""


class Exported(nn.Module):
    """From features as they are to values or probabilities.

    Shapes: [B, *in_shape] -> [B, T] values or [B, K] probabilities.

    Args:
        predictor: the network and its scaling.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.net, self.task = predictor.evaluation.net, predictor.evaluation.task
        self.scaling, self.dtype = predictor.scaling.x, data_type(predictor.evaluation.precision)
        if self.scaling is not None:
            self.register_buffer("mean", torch.as_tensor(self.scaling.mean, dtype=torch.float64))
            self.register_buffer("deviation", torch.as_tensor(self.scaling.std, dtype=torch.float64))

    def forward(self, features: Tensor) -> Tensor:
        """In double precision up to the network: large features with small deviations lose nothing."""
        if self.scaling is not None:
            features = (features.double() - self.mean) / self.std
        return final(self.net(features.to(self.dtype)), self.task)


def export(predictor: Predictor, features: Features, output: Path) -> float:
    """Writes `output`, and checks it.

    Args:
        predictor: the network.
        features: real rows to check with, [N, *in_shape], not scaled; N at least 1.
        output: the file; its ending says the form.

    Returns:
        The largest difference between predictions of the file and PyTorch's.

    Raises:
        ValueError: a library is not installed, the network cannot be written, or it would not give the same
            predictions; no file is written then.
    """
    dtype = torch.float64 if data_type(predictor.evaluation.precision) == torch.float64 else torch.float32
    if not len(features):
        raise ValueError("there are no rows to check with; name others with input=")
    module, rows = Exported(predictor).eval(), torch.from_numpy(np.ascontiguousarray(features)).to(dtype)
    write, run = FORMATS[output.suffix]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters' own old habits
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # of torchvision, which is not needed
        file = Path(folder) / output.name
        try:
            write(module, rows, file, json.dumps(description(predictor)))
            found = run(file, rows)
        except ImportError as error:
            raise ValueError(f"writing {output.suffix} needs {error.name}: pip install 'fulmen[export]'") from error
        except Exception as error:
            raise ValueError(
                f"torch cannot write this network as {output.suffix}: {type(error).__name__}: {error}"
            ) from error
        difference = _difference(found, predictor.scores_of(rows.numpy()), predictor.scaling.y)
        if not difference <= LARGEST_DIFFERENCE:
            raise ValueError(
                f"{output} would give other predictions than PyTorch, by {difference:.1e} on these rows; it is not kept"
            )
        with replacing(output) as target:
            target.write(file.read_bytes())
    return difference


def description(predictor: Predictor) -> dict[str, Any]:
    """What a program that uses the file must know."""
    spec = predictor.spec
    return {"task": spec.task, "features": list(spec.feature_names), "targets": list(spec.target_names)}


def _difference(found: Features, expected: Features, scaling: Standardizer | None) -> float:
    size = np.abs(expected).max(0) if scaling is None else scaling.std
    return float(np.max(np.abs(found - expected) / np.where(size > 0, size, 1)))


def _write_onnx(module: nn.Module, rows: Tensor, file: Path, description: str) -> None:
    batch = torch.export.Dim("rows")
    program = torch.onnx.export(
        module,
        (rows[[0, -1]],),
        input_names=["features"],
        output_names=["predictions"],
        dynamic_shapes=({0: batch},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props["fulmen"] = description
    program.save(file)


def _run_onnx(file: Path, rows: Tensor) -> Features:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"features": rows.numpy()})
    return np.asarray(found)


def _write_pt2(module: nn.Module, rows: Tensor, file: Path, description: str) -> None:
    program = torch.export.export(module, (rows[[0, -1]],), dynamic_shapes=({0: torch.export.Dim("rows")},))
    torch.export.save(program, file, extra_files={"fulmen": description})


def _run_pt2(file: Path, rows: Tensor) -> Features:
    with torch.no_grad():
        return np.asarray(torch.export.load(file).module()(rows).numpy())


Write = Callable[[nn.Module, Tensor, Path, str], None]
FORMATS: dict[str, tuple[Write, Callable[[Path, Tensor], Features]]] = {
    ".onnx": (_write_onnx, _run_onnx),
    ".pt2": (_write_pt2, _run_pt2),
}


OPTIONS = {
    "output": "an .onnx or a .pt2 file",
    "input": "rows to check with",
    **arguments.OPTIONS,
}
ENDINGS = (".onnx", ".pt2")
MOST_ROWS = 1000
"""With which the file is checked."""


def main(words: Sequence[str]) -> int:
    """The command.

    Raises:
        ValueError: says what is wrong with its words, the checkpoint or the rows; or that the file would not give the
            same predictions, and is not kept.
    """
    given = arguments.parse(words, OPTIONS)
    output = arguments.output(given, ENDINGS)
    network = arguments.load(given)
    output = output or _beside(given.subjects[0])
    pass

    features = _features(network, given.options.get("input"))
    difference = export(network.predictor, features, output)
    print(f"{output}: predictions differ from PyTorch's by {difference:.1e} at most, on {len(features)} rows")
    return 0


def _beside(subject: str) -> Path:
    if "://" in subject:
        return Path("model.onnx")
    return (Path(subject) if Path(subject).is_dir() else Path(subject).parent) / "model.onnx"


def _features(network: "Trained", file: str | None) -> NDArray[Any]:
    """Real rows, [N, *in_shape], not scaled."""
    if file is not None:
        return network.predictor.features(predict.rows(file))[:MOST_ROWS]
    try:
        splits = network.source.load()
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"the rows to check with are not there: {error} Or name others with input=") from error
    return read(next(splits[name].x for name in reversed(SPLITS) if name in splits), slice(MOST_ROWS))
