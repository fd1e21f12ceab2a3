"""The division of a run, against tables worked out by hand."""

import pytest

from fulmen.training.plan import Plan


@pytest.mark.parametrize(
    ("rows", "batch_rows", "max_epochs", "max_steps", "per_epoch", "total"),
    [
        (100, 10, 5, None, 10, 50),
        (101, 10, 5, None, 11, 55),  # the last batch of a pass holds one row
        (9, 10, 5, None, 1, 5),  # a batch larger than the data is a full batch
        (10, 10, 1, None, 1, 1),
        (100, 10, 5, 42, 10, 42),  # whichever limit comes first
        (100, 10, 5, 1000, 10, 50),
        (100, 10, None, 1000, 10, 1000),
        (100, 10, None, 1, 10, 1),
    ],
)
def test_steps(
    rows: int, batch_rows: int, max_epochs: int | None, max_steps: int | None, per_epoch: int, total: int
) -> None:
    plan = Plan(rows, batch_rows, max_epochs, max_steps)
    assert (plan.steps_per_epoch, plan.total_steps) == (per_epoch, total)


@pytest.mark.parametrize(
    ("epochs", "steps_per_epoch", "points", "passes"),
    [
        (1, 10, 100, 1),
        (20, 1, 100, 1),  # 20 points however short the run is
        (21, 1, 100, 2),
        (20, 4, 100, 1),
        (1001, 1, 100, 51),  # 20 points: 80 steps each would be 12 of them
        (100, 32, 100, 3),  # 3200 steps make 40 points: ceil(100 / 40)
        (100, 80, 100, 1),  # 8000 steps make 100 points
        (500, 80, 100, 5),  # never more than 100
        (500, 80, 50, 10),
        (500, 80, 1, 500),
        (10, 9, 2, 5),
        (7, 1000, 1000, 1),  # nothing is shorter than a pass
    ],
)
def test_passes_in_an_interval(epochs: int, steps_per_epoch: int, points: int, passes: int) -> None:
    plan = Plan(rows=10 * steps_per_epoch, batch_rows=10, max_epochs=epochs, points=points)
    assert plan.steps_per_interval == passes * steps_per_epoch


def test_a_limit_of_steps_shortens_intervals() -> None:
    """100 steps are 10 passes, each on record; without the limit an interval would have 5 passes."""
    assert Plan(100, 10, max_epochs=None, max_steps=100).steps_per_interval == 10
    assert Plan(100, 10, max_epochs=100, max_steps=100).steps_per_interval == 10
    assert Plan(100, 10, max_epochs=100).steps_per_interval == 50


def test_intervals_are_one_pass_where_passes_are_counted() -> None:
    assert Plan(10, 1, max_epochs=1000, every_pass=True, points=5).steps_per_interval == 10


@pytest.mark.parametrize(("step", "end"), [(0, 20), (19, 20), (20, 40), (39, 40), (40, 45), (44, 45)])
def test_an_interval_ends_at_a_pass_or_with_the_run(step: int, end: int) -> None:
    plan = Plan(rows=100, batch_rows=10, max_epochs=None, max_steps=45, points=3)
    assert plan.steps_per_interval == 20
    assert plan.interval_end(step) == end


@pytest.mark.parametrize("points", [1, 3, 20, 100])
@pytest.mark.parametrize("epochs", [1, 2, 19, 20, 21, 99, 100, 101, 997])
@pytest.mark.parametrize("steps_per_epoch", [1, 3, 100])
def test_intervals_cover_the_run_in_whole_passes(points: int, epochs: int, steps_per_epoch: int) -> None:
    plan = Plan(rows=steps_per_epoch, batch_rows=1, max_epochs=epochs, points=points)
    ends = [0]
    while ends[-1] < plan.total_steps:
        ends.append(plan.interval_end(ends[-1]))
    assert ends[-1] == epochs * steps_per_epoch
    assert len(ends) - 1 <= points
    assert all(end % steps_per_epoch == 0 for end in ends)
    if epochs <= min(points, 20):
        assert len(ends) - 1 == epochs, "a short run has every pass on record"
