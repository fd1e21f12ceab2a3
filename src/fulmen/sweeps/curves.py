"""The curves of a sweep: for each configuration a mean and a band over seeds, as a picture and in TensorBoard."""

import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from fulmen.errors import ConfigurationError
from fulmen.runs.folder import read_history
from fulmen.runs.settings import SEEDS, short
from fulmen.sweeps.leaderboard import Board, Group

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fulmen.figures.plots.bands import Band

FOLDER: Final = Path("tensorboard", "bands")
"""In a sweep's folder: the run that shows the bands."""
MOST: Final = 50
"""Configurations whose curves are read."""


def of_board(board: Board) -> dict[str, list["Band"]]:
    """Returns the bands of the score and of both losses, the best configuration first; nothing without histories."""
    from fulmen.figures.plots.bands import band  # and with it matplotlib

    found: dict[str, list[Band]] = {}
    groups = board.groups[:MOST]
    histories = [_histories(group) for group in groups]
    for metric in dict.fromkeys((board.score, "train/loss", "val/loss")):
        for group, runs in zip(groups, histories, strict=True):
            there = [run for run in runs if run.get(metric)]
            if there:
                steps, values = ([np.array(run[name]) for run in there] for name in ("step", metric))
                # A seed that ran twice is one sample of it.
                one = band(name_of(board, group), steps, values)._replace(seeds=min(len(there), len(group.by_seed)))
                found.setdefault(metric, []).append(one)
    return found


def name_of(board: Board, group: Group) -> str:
    """Returns a configuration as it is typed, without the names of groups of keys where those say nothing."""
    keys = [key for key in board.keys if key not in SEEDS and key in group.settings]
    return " ".join(f"{key}={short(group.settings[key])}" for key in keys) or "all runs"


def _histories(group: Group) -> list[dict[str, list[float]]]:
    found = []
    for row in group.rows:
        with suppress(ConfigurationError):  # a damaged one is listed as that
            found.append(read_history(row.folder))
    return found


def picture(metrics: Mapping[str, Sequence["Band"]]) -> "Figure":
    """Draws the bands."""
    from fulmen.figures.plots.bands import bands
    from fulmen.figures.plots.letters import letters

    with letters(each.name for found in metrics.values() for each in found):
        return bands(metrics)


def write_events(metrics: Mapping[str, Sequence["Band"]], folder: Path) -> None:
    """Writes the bands for TensorBoard: a margin chart of each metric, instead of a line for each run.

    Args:
        metrics: the bands.
        folder: the sweep's.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.plugins.custom_scalar import layout_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    home, now = folder / FOLDER, time.time()
    home.mkdir(parents=True, exist_ok=True)
    for before in home.glob("events.*"):
        before.unlink()
    charts = []
    with (home / f"events.out.tfevents.{int(now)}.{socket.gethostname()}.{os.getpid()}.0").open("wb") as file:
        records = RecordWriter(file)
        for metric, found in metrics.items():
            series = []
            for each in found:
                tags = [f"{metric}/{each.name}/{part}" for part in ("mean", "low", "high")]
                series.append(layout_pb2.MarginChartContent.Series(value=tags[0], lower=tags[1], upper=tags[2]))
                columns = zip(each.steps, each.mean, each.low, each.high, strict=True)
                for step, *values in columns:
                    pairs = zip(tags, values, strict=True)
                    some = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in pairs])
                    records.write(Event(wall_time=now, step=int(step), summary=some).SerializeToString())
            margin = layout_pb2.MarginChartContent(series=series)
            charts.append(layout_pb2.Chart(title=metric, margin=margin))
        category = layout_pb2.Category(title="mean and 10th to 90th percentile over seeds", chart=charts)
        layout = layout_pb2.Layout(category=[category]).SerializeToString()
        tensor = TensorProto(dtype="DT_STRING", string_val=[layout], tensor_shape=TensorShapeProto())
        about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="custom_scalars"))
        value = Summary.Value(tag="custom_scalars__config__", tensor=tensor, metadata=about)
        records.write(Event(wall_time=now, summary=Summary(value=[value])).SerializeToString())
