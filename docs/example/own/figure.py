"""A figure: what is known about a finished run in, a matplotlib Figure out, or None where it does not fit the run."""

from matplotlib.figure import Figure

from fulmen.figures.context import RunContext


def misses(context: RunContext) -> Figure | None:
    """Draws how far predictions of the validation rows are from their targets."""
    if context.classifies or "val" not in context.splits:
        return None
    batch = context.splits["val"].take(slice(None))
    scores = context.predictor.evaluation.scores(batch.x)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="prediction - target", ylabel="rows")
    axes.hist((scores - batch.y).flatten().numpy(), bins=20)
    return figure
