"""A trained network as one graph for other programs: scaling, layers and output activation together.

ONNX is written by torch's own exporter, and read back by onnxruntime; `.pt2` is torch.export's form.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fulmen.data.scaling import Standardizer
from fulmen.models.precision import data_type
from fulmen.runs.files import replacing
from fulmen.tasks.predictor import Predictor, final

Features = NDArray[np.floating]
LARGEST_DIFFERENCE = 1e-5
"""Between predictions of the file and PyTorch's: of a probability, or in units of a target's deviation or size."""


class Exported(nn.Module):
    """From features as they are to values or probabilities.

    Shapes: [B, *in_shape] -> [B, T] values or [B, K] probabilities.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.net, self.task = predictor.evaluation.net, predictor.evaluation.task
        self.scaling, self.dtype = predictor.scaling.x, data_type(predictor.evaluation.precision)
        if self.scaling is not None:
            self.register_buffer("mean", torch.as_tensor(self.scaling.mean, dtype=torch.float64))
            self.register_buffer("std", torch.as_tensor(self.scaling.std, dtype=torch.float64))

    def forward(self, features: Tensor) -> Tensor:
        """Scales in double precision up to the network: large features with small deviations lose nothing."""
        if self.scaling is not None:
            features = (features.double() - self.mean) / self.std
        return final(self.net(features.to(self.dtype)), self.task)


def export(predictor: Predictor, features: Features, output: Path) -> float:
    """Writes a file whose ending says the form, and checks it with real rows, [N, *in_shape], not scaled.

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
    """Returns the facts that a program using the file needs."""
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
