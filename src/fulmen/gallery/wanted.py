"""Which figures a run is asked for. Nothing here imports matplotlib, so that a run without figures pays nothing."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The keys of `conf/figures/*.yaml`, which says what each means. What does not fit the run is not drawn."""

    fit: bool = False
    nodes: bool = False
    regions: bool = False
    confusion: bool = False
    weights: bool = False
    mistakes: bool = False
    curves: bool = False
    activations: bool = False
    pairs: bool = False
    animation: bool = False
    histograms: bool = False

    @property
    def at_the_end(self) -> bool:
        """Whether anything is to be drawn when the run has ended."""
        return replace(self, histograms=False) != Wanted()
