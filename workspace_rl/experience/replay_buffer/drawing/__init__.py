"""Which windows of frames may be drawn from a replay buffer, and drawing them.

- `windows`: uniformly.
- `prioritized_windows`: by priorities, which follow what is learned from them.
- `priority_sums`: sums of many numbers, by which places are drawn in proportion to them.
"""
