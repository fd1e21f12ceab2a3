"""How a run's losses went down."""

from matplotlib.figure import Figure

from fulmen.figures.comparison import Curve
from fulmen.figures.style import COLOURS, sheet, spans_decades


def training(run: Curve) -> Figure:
    """The losses of one run over its steps, train and validation; logarithmic where they span two decades."""
    figure = sheet()
    scale = "log" if spans_decades(run.losses) else "linear"
    axes = figure.add_subplot(title="Loss during training", xlabel="step", ylabel="loss", yscale=scale)
    dots = "." if len(run.steps) == 1 else ""  # of which no line could be drawn
    axes.plot(run.steps, run.train, color=COLOURS[0], linestyle="--", marker=dots, label="train")
    if run.val is not None:
        axes.plot(run.steps, run.val, color=COLOURS[1], marker=dots, label="validation")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
