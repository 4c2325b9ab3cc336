"""Distributions of returns, and what they learn from.

- `categorical`: those given by probabilities of fixed values.
- `quantiles`: those given by quantiles.
"""
