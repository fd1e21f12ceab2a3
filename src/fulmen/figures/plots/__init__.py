"""Plots: arrays in, a matplotlib Figure out. No window, no file, and no global state (hence no pyplot)."""

from fulmen.figures.plots.activations import activations as activations
from fulmen.figures.plots.comparison import Curve as Curve
from fulmen.figures.plots.comparison import curves as curves
from fulmen.figures.plots.comparison import training as training
from fulmen.figures.plots.confusion import confusion as confusion
from fulmen.figures.plots.fit import Points as Points
from fulmen.figures.plots.fit import fit as fit
from fulmen.figures.plots.images import Mistakes as Mistakes
from fulmen.figures.plots.images import mistakes as mistakes
from fulmen.figures.plots.images import weights as weights
from fulmen.figures.plots.nodes import nodes as nodes
from fulmen.figures.plots.pairs import pairs_of_classes as pairs_of_classes
from fulmen.figures.plots.pairs import pairs_of_values as pairs_of_values
from fulmen.figures.plots.predictions import predictions as predictions
from fulmen.figures.plots.ranking import Configuration as Configuration
from fulmen.figures.plots.ranking import ranking as ranking
from fulmen.figures.plots.regions import regions as regions
from fulmen.figures.plots.search import front as front
from fulmen.figures.plots.search import history as history
from fulmen.figures.plots.search import importance as importance
from fulmen.figures.plots.tuning import batch_sizes as batch_sizes
from fulmen.figures.plots.tuning import learning_rates as learning_rates
