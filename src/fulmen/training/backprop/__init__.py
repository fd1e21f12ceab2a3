"""Back-propagation by hand: the gradient of a multilayer perceptron's loss, from formulas.

Source: Rumelhart, Hinton, Williams: Learning representations by back-propagating errors, Nature 1986.

A network is a chain of functions, x -> z -> a -> ... -> L. Forward, each layer computes its output and remembers what
it will need. Backward, from the last to the first, each is told ∂L/∂(its output) and works out two things by the chain
rule: ∂L/∂(its parameters), which the optimizer wants, and ∂L/∂(its input), which the layer before it wants. A name
`d_z` stands for ∂L/∂z, and has the shape of z.

The formulas stand here once. `xp` is the library that computes them, `numpy` or `torch`: what they need goes by the
same names in both. The price beside autograd: there are only the layers that are written down here.

Read in this order: `layers.py`, `losses.py`, `network.py`, `gradient.py`.

Shapes: B rows, F features, I inputs and O outputs of a layer, H units, K classes, T columns of a target.
"""
