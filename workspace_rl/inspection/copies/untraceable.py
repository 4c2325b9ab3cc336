"""What ends a trace: something that cannot be done without consequences."""

from __future__ import annotations

from workspace_rl.errors import CompositionError


class UntraceableError(CompositionError):
    """An agent does something that cannot be done without consequences."""


class OutOfReachError(UntraceableError):
    """A program uses agents or parameters that were not copied: run on real tensors, it would change them."""
