"""What stands between tensors and gymnasium's spaces.

- `observations`: observations into variables.
- `observed`: what networks read of observations that hold a mask.
- `parts`: the parts of an observation, as what networks are told of them.
- `actions`: actions out of variables, checked, rescaled and clipped.
- `sizes`: how many inputs and outputs networks have for a space.
- `images`: observations that are images.
- `advice`: how messages tell that an environment is wrapped.
"""
