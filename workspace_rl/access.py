"""Naming a step of a variable, by `("x", t)` or by `"x", t`, and what is said of names and values that are none."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from workspace_rl.errors import AccessError, NotATensorError, UnknownVariableError, did_you_mean


def given_read(who: str, name: Any, t: Any) -> tuple[str, int | None]:
    """Return the variable and the step that are meant, None for the whole variable.

    Raises:
        AccessError: neither `("x", t)` nor `"x", t` was given.
    """
    if isinstance(name, tuple):
        if len(name) != 2 or t is not None:
            raise _neither(f"{who}.get", (name, t))
        name, t = name
    if not isinstance(name, str):
        raise _neither(f"{who}.get", (name, t))
    return name, None if t is None else _step(f"{who}.get", name, t)


def given_write(who: str, name: Any, t: Any, value: Any) -> tuple[str, int | None, Any]:
    """Return the variable, the step (None for the whole variable) and the value that are meant.

    Raises:
        AccessError: neither `("x", t), value` nor `"x", t, value` was given.
    """
    if isinstance(name, tuple):
        if len(name) != 2 or (t is not None and value is not None):
            raise _neither(f"{who}.set", (name, t, value))
        value = t if value is None else value
        name, t = name
        if t is None:
            raise _neither(f"{who}.set", ((name, t), value))
    elif value is None:  # `set("x", value)`
        t, value = None, t
    if not isinstance(name, str):
        raise _neither(f"{who}.set", (name, t, value))
    return name, None if t is None else _step(f"{who}.set", name, t), value


def missing_step(method: str, name: str) -> AccessError:
    """Return the error of a workspace that is not told which step."""
    value, word = (", value", "write") if method == "set" else ("", "read")
    return AccessError(
        f"Workspace.{method} needs a step: {method}({name!r}, t{value}) or {method}(({name!r}, t){value}). To {word} "
        f"the whole variable, use {method}_full({name!r}{value}).",
        variable=name,
    )


def required_name(method: str, name: Any, index: Any) -> str:
    """Return the name of a variable, by whichever argument it was given.

    Raises:
        AccessError: it is no text.
    """
    name = index if name is None else name
    if not isinstance(name, str):
        raise _neither(f"Workspace.{method}", (name,))
    return name


def not_a_tensor(name: str, value: object) -> NotATensorError:
    """Return the error of a value that cannot be written."""
    return NotATensorError(
        f"variable {name!r} must be a tensor, {type(value).__name__} was given. "
        "Convert it first, for instance by torch.as_tensor(value)."
    )


def unknown_variable(name: str, t: int | None, written: Iterable[str]) -> UnknownVariableError:
    """Return the error of a variable that is read, at step `t` or as a whole, and that is none of those written."""
    known = ", ".join(repr(one) for one in written) or "none"
    return UnknownVariableError(
        f"{'' if t is None else f'step {t} of '}variable {name!r} was read, but nobody has written it."
        f"{did_you_mean(str(name), written)} Variables written so far: {known}.",
        variable=name,
        step=t,
    )


def _step(method: str, name: str, t: Any) -> int:
    try:
        return operator.index(t)
    except TypeError:
        raise AccessError(
            f"{method} takes a step that is a whole number, {_shown(t)} was given for variable {name!r}.", variable=name
        ) from None


def _neither(method: str, given: tuple[Any, ...]) -> AccessError:
    value = ", value" if method.endswith("set") else ""
    shown = ", ".join(_shown(one) for one in given if one is not None)
    return AccessError(
        f'{method} takes the name of a variable and a step, {method.partition(".")[2]}(("x", t){value}) or '
        f'{method.partition(".")[2]}("x", t{value}); ({shown}) was given.'
    )


def _shown(value: Any) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
