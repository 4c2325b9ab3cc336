"""Numbers, paths and the like of other libraries as plain data: what a configuration is made of."""

from __future__ import annotations

import decimal
import enum
import math
import numbers
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from omegaconf import Container, OmegaConf

from workspace_rl.basics.classes import class_path
from workspace_rl.errors import ConfigError, WorkspaceRLError


def plain(value: Any, name: str = "") -> Any:
    """Return `value` as dictionaries, lists, texts, numbers, booleans and None.

    Numbers of NumPy and torch (tensors without dimensions among them) become Python's, arrays, tensors and tuples
    lists, paths and devices texts, members of an `enum.Enum` their values, and a class given as `classname` its name.

    Args:
        value: anything.
        name: what it is called in messages; keys within are put behind it.

    Raises:
        ConfigError: there is no plain form of it, it holds itself, or a text holds what no file and no path can.
    """
    try:
        return _plain(value, name)
    except RecursionError as error:
        raise ConfigError(f"{_place(name)}it is nested too deeply, or holds itself.") from error


def whole_number(value: Any, name: str, *, least: int, error: type[WorkspaceRLError] = ConfigError) -> int:
    """Return a whole number as an int: one of Python, NumPy or torch, or a float without a fraction such as 1e6.

    Args:
        value: anything.
        name: what it is called in the message.
        least: the least that is allowed.
        error: what is raised.

    Raises:
        WorkspaceRLError: it is no whole number, or less than `least`; of the class `error`.
    """
    if type(value) is int and value >= least:
        return value
    found = _number(value)
    if found is not None and found == found // 1 and found >= least:  # neither a fraction nor infinite
        return int(found)
    raise error(f"{name}: a whole number of at least {least} expected, {told(value)} found.")


def finite_number(
    value: Any,
    name: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    error: type[WorkspaceRLError] = ConfigError,
) -> float:
    """Return a finite number as a float: one of Python, NumPy or torch.

    Args:
        value: anything.
        name: what it is called in the message.
        least: the least that is allowed.
        above: it must be greater than this.
        most: the most that is allowed.
        error: what is raised.

    Raises:
        WorkspaceRLError: it is no finite number, or out of bounds; of the class `error`.
    """
    found = _number(value)
    # An int may be beyond what a float can hold.
    if found is not None and abs(found) <= sys.float_info.max and least <= found <= most and found > above:
        return float(found)
    bounds = [f"of at least {least:g}"] * (least > -math.inf) + [f"above {above:g}"] * (above > -math.inf)
    bounds += [f"of at most {most:g}"] * (most < math.inf)
    expected = " ".join(["a finite number", " and ".join(bounds)]).strip()
    raise error(f"{name}: {expected} expected, {told(value)} found.")


def _number(value: Any) -> int | float | None:
    """Return a number of Python, NumPy or torch as Python's, None for anything else."""
    if not isinstance(value, numbers.Real | np.ndarray | torch.Tensor):
        return None
    try:
        found = plain(value)
    except ConfigError:
        return None
    return found if type(found) in (int, float) else None


def told(value: Any) -> str:
    """Return what a message says of a value that was found: short, and with its type unless that can be seen."""
    try:
        text = repr(value)
    except Exception:  # an object of the user's own may raise anything
        text = "an object"
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return text if value is None or isinstance(value, bool) else f"{text} ({type(value).__name__})"


def _plain(value: Any, name: str) -> Any:
    if value is None or type(value) in (bool, int, float, bytes):
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value, name)
    if isinstance(value, str):
        return _text(str(value), name)
    if isinstance(value, os.PathLike):
        return _text(os.fsdecode(value), name)
    if isinstance(value, Container):  # of OmegaConf; interpolations stay as they are
        return _plain(OmegaConf.to_container(value, resolve=False), name)
    if isinstance(value, Mapping):
        return {_plain(key, f"{name} (a key)"): _entry(key, one, name) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, f"{name}[{index}]") for index, one in enumerate(value)]
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return _numbers(value, name)
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real | decimal.Decimal):
        return float(value)
    raise _refusal(value, name)


def _entry(key: Any, value: Any, name: str) -> Any:
    where = f"{name}.{key}" if name else str(key)
    if key == "classname" and isinstance(value, type):
        return class_path(value)
    return _plain(value, where)


def _text(text: str, name: str) -> str:
    if "\0" in text:
        raise ConfigError(f"{_place(name)}a text without NUL characters expected, {text[:80]!r} found.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{_place(name)}Unicode text expected, {text[:80]!r} found, which cannot be written as UTF-8 "
            f"(character {error.start})."
        ) from error
    return text


def _numbers(value: np.ndarray | np.generic | torch.Tensor, name: str) -> Any:
    kind = value.dtype.kind if isinstance(value, np.ndarray | np.generic) else "f"
    if kind not in "biufUO":
        raise _refusal(value, name)
    if isinstance(value, np.longdouble):  # whose `tolist` returns itself
        return float(value)
    try:
        found = value.detach().cpu().tolist() if isinstance(value, torch.Tensor) else value.tolist()
    except Exception as error:  # for instance of a tensor without numbers, on the device "meta"
        raise _refusal(value, name) from error
    if isinstance(found, complex):
        raise _refusal(value, name)
    return _plain(found, name)


def _refusal(value: Any, name: str) -> ConfigError:
    return ConfigError(
        f"{_place(name)}a number, a text, true or false, null, a list or a dictionary expected, {told(value)} found."
    )


def _place(name: str) -> str:
    return f"{name}: " if name else ""
