"""The error that says which environment failed, and what it returned."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

from workspace_rl.errors import EnvironmentContractError, EnvironmentFailedError

#: What an error says of a `reset` that does not take its arguments.
_RESET_ARGUMENTS = re.compile(
    r"reset\(\) (got an unexpected keyword argument|missing \d+ required|takes (no|\d+|from) .*argument)"
)


def failure(error: BaseException, index: int | None = None) -> EnvironmentFailedError:
    """Return the error that says that environment `index` raised `error`, which it is if it says so already."""
    if isinstance(error, EnvironmentFailedError):
        failed = error
    elif isinstance(error, TypeError) and _RESET_ARGUMENTS.search(str(error)):
        failed = EnvironmentContractError(
            f"its reset must take a seed and options ({error}): write reset(self, *, seed=None, options=None), and "
            "return (observation, info). If it was written for the old package gym, its random numbers must come from "
            "the seed as well: super().reset(seed=seed) and self.np_random."
        )
        failed.__cause__ = error
    else:
        origin = traceback.extract_tb(error.__traceback__)[-1:]
        where = "".join(f" ({frame.filename}:{frame.lineno}, in {frame.name})" for frame in origin)
        failed = EnvironmentFailedError(f"it raised {type(error).__name__}: {error}{where}.")
        failed.__cause__ = error
    if failed.index is None:
        failed.index = index
    return failed


def fail(error: BaseException, index: int) -> NoReturn:
    """Raise the error that says that environment `index` raised `error`."""
    failed = failure(error, index)
    raise failed from failed.__cause__


def described(value: Any) -> str:
    """Return a value's type, and its shape and dtype or its length or itself, in short."""
    kind = type(value).__name__
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        attached = " with gradients, which must be detached," if getattr(value, "requires_grad", False) is True else ""
        return f"{kind} {value.dtype} of shape {list(value.shape)}{attached}"
    if isinstance(value, tuple | list | Mapping):
        return f"a {kind} of {len(value)}"
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({kind})"
