"""Pictures: arrays in, a matplotlib Figure out; no window, no file, and nothing global, which pyplot would keep."""

from fulmen.figures.activations import activations as activations
from fulmen.figures.comparison import Curve as Curve
from fulmen.figures.comparison import curves as curves
from fulmen.figures.confusion import confusion as confusion
from fulmen.figures.fit import Points as Points
from fulmen.figures.fit import fit as fit
from fulmen.figures.images import Mistakes as Mistakes
from fulmen.figures.images import mistakes as mistakes
from fulmen.figures.images import weights as weights
from fulmen.figures.nodes import nodes as nodes
from fulmen.figures.pairs import pairs_of_classes as pairs_of_classes
from fulmen.figures.pairs import pairs_of_values as pairs_of_values
from fulmen.figures.ranking import ranking as ranking
from fulmen.figures.regions import regions as regions
from fulmen.figures.search import front as front
from fulmen.figures.search import history as history
from fulmen.figures.search import importance as importance
from fulmen.figures.training import training as training
