"""The columns of TensorBoard's HParams, as its own plugin reads them."""

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context

import fulmen
from fulmen.cli.main import main
from fulmen.training import loggers

WORDS = ("data=circles", "trainer.max_epochs=1", "figures=none", "accelerator=cpu")


def hparams(folder: Path) -> tuple[list[str], list[str], list[tuple[dict[str, Any], dict[str, float]]]]:
    """Returns the columns of hyperparameters, those of metrics, and the values of each run, in TensorBoard's order."""
    events = EventMultiplexer().AddRunsFromDirectory(str(folder))
    events.Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(events, str(folder))))
    request, asked = RequestContext(), api_pb2.GetExperimentRequest()
    found = context.hparams_from_data_provider(request, "", 0)
    content = context.hparams_metadata(request, "")
    shown = get_experiment.Handler(request, context, "", asked).run()
    columns = [api_pb2.ColParams(metric=info.name) for info in shown.metric_infos]
    wanted = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=[api_pb2.STATUS_SUCCESS], col_params=columns, slice_size=100
    )
    groups = list_session_groups.Handler(request, context, "", wanted).run().session_groups
    assert content and not found.hyperparameters
    rows = [
        (
            {name: value.number_value or value.string_value for name, value in group.hparams.items()},
            {value.name.tag: value.value for value in group.metric_values},
        )
        for group in groups
    ]
    return [info.name for info in shown.hparam_infos], [info.name.tag for info in shown.metric_infos], rows


@pytest.mark.parametrize("launcher", ["basic", "vectorized"])
def test_a_sweep_has_a_column_for_each_key_that_it_varies_and_its_score_first(
    launcher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*WORDS, "score=val/accuracy", "optimizer.lr=0.1,0.2", "data.batch_size=16,full"]
    assert main(["-m", f"hydra/launcher={launcher}", *words]) == 0
    keys, metrics, rows = hparams(tmp_path)
    assert set(keys) == {"optimizer.lr", "data.batch_size [rows]"}
    assert metrics[0] == "final score/val/accuracy" and "final/test/loss" in metrics
    frame = fulmen.load_sweep(next(Path("logs/sweeps").iterdir())).frame
    assert {(row["optimizer.lr"], row["data.batch_size [rows]"]) for row, _ in rows} == {
        (rate, size) for rate in (0.1, 0.2) for size in (16, 300)
    }
    assert sorted(row["final score/val/accuracy"] for _, row in rows) == pytest.approx(sorted(frame["score"]))


def test_a_single_run_has_its_choices_and_what_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS, "model.hidden=[4,2]", "name=mine"]) == 0
    _, metrics, ((values, _),) = hparams(tmp_path)
    assert values == {
        "data": "circles",
        "model": "shallow",
        "optimizer": "adam",
        "trainer.max_epochs [passes]": 1,
        "accelerator": "cpu",
        "model.hidden [nodes]": "[4,2]",
    }
    assert metrics[0] == "final score/val/loss"


@pytest.mark.parametrize("hidden", [None, {"width": 8}, [[8, 4], [2]], {"widths": [{"first": 8}]}])
def test_a_models_own_key_with_anything_in_it_is_a_hyperparameter(hidden: object, tmp_path: Path) -> None:
    logger, config = TensorBoardLogger(tmp_path), {"model": {"hidden": hidden}}
    keys = ["model", "model.hidden", "model.hidden.widths", "model.hidden.width"]
    loggers.show_hyperparameters(logger, config, keys, batch_rows=8)
    logger.experiment.flush()
    found = loggers.hyperparameters(config, keys, batch_rows=8)
    assert all(isinstance(value, str | int) for value in found.values()) and len(found) == 1
