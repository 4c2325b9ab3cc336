"""Where collectors live.

- `place`: what drivers ask of a place.
- `in_process`: the learner's own process.
"""
