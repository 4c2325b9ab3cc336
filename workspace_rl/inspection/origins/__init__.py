"""Following values from where they are read to the losses that optimisers minimise.

- `origins`: where a value comes from: reads, networks, and what a loss compares.
- `combining`: what operations make of the origins of their arguments.
- `watch`: sees the operations, while an update runs.
- `ratios`: ratios of probabilities among the operations.
- `rows`: sums along the rows of a batch.
- `trainings`: gradients, the optimisers that use them, and whose parameters these are.
"""
