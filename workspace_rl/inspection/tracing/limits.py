"""Where a trace is at its end, though the program need not be: what copies and fake tensors cannot do."""

from __future__ import annotations

from workspace_rl.errors import NoWorkspaceError
from workspace_rl.inspection.copies.untraceable import UntraceableError


def is_limit(error: Exception) -> bool:
    """Return whether an error says that the trace, not the program, is at its end."""
    # Whoever has no workspace is not the copy: a method that was replaced on an object calls the object.
    return isinstance(error, UntraceableError | NoWorkspaceError) or _is_about_values(error)


def reason(error: Exception) -> str:
    """Return why an error ends a trace, for messages."""
    if isinstance(error, UntraceableError):
        return str(error.args[0])
    if isinstance(error, NoWorkspaceError):
        return "one of its methods was replaced by a function that uses the original"
    if _is_about_values(error):
        return "what it does depends on the values of tensors, which a trace does not have"
    return f"fake tensors cannot do what it does ({type(error).__name__}: {str(error).splitlines()[0][:120]})"


def _is_about_values(error: BaseException) -> bool:
    """Return whether an error comes from a fake tensor that was asked for its values."""
    return type(error).__module__ in ("torch._subclasses.fake_tensor", "torch.fx.experimental.symbolic_shapes")
