"""Architectures: plain modules built as `Model(in_shape, out_features, *, ...)`, which return raw scores.

Raw scores are values for regression and logits for classes. A model whose last layer already gives class probabilities
states it in an attribute `output_activation` ("sigmoid" or "softmax").
"""
