"""A regression on any features: predictions against true values, and residuals against predictions."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, Values, marker, sheet, short


def predictions(splits: Mapping[str, tuple[Values, Values]], targets: Sequence[str], title: str) -> Figure:
    """Draws a column of two plots for each target: predictions with the line of perfect ones, residuals below.

    Shapes: N rows, T targets.

    Args:
        splits: true values [N, T] and predictions [N, T] by their name in the legend.
        targets: [T], names with units.
        title: title of the figure.
    """
    figure = sheet()
    figure.suptitle(title)
    plots = figure.subplots(2, len(targets), squeeze=False, sharex="col", height_ratios=(3, 2))
    for column, name in enumerate(targets):
        upper, lower = plots[:, column]
        for number, (split, (true, predicted)) in enumerate(splits.items()):
            y, found = true[:, column], predicted[:, column]
            style = {"color": COLOURS[number], "markersize": 3.5, "alpha": 0.5, "markeredgewidth": 0}
            upper.plot(found, y, marker(number), label=split if column == 0 else "_", **style)
            lower.plot(found, y - found, marker(number), **style)
        low = min(min(true[:, column].min(), found[:, column].min()) for true, found in splits.values())
        high = max(max(true[:, column].max(), found[:, column].max()) for true, found in splits.values())
        upper.plot([low, high], [low, high], color="black", linewidth=1, label="_")
        lower.axhline(0, color="black", linewidth=1)
        upper.set_title(short(name), fontsize=9)
        lower.set_xlabel("predicted")
        for axes in (upper, lower):
            axes.grid(alpha=0.3)
    plots[0, 0].set_ylabel("true")
    plots[1, 0].set_ylabel("true - predicted")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
