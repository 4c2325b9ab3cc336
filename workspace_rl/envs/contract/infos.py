"""Keys of infos that somebody asks for by name: what they must be, and how they are taken out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workspace_rl.basics.plain_data import told
from workspace_rl.envs.contract.observations import Source, check_array
from workspace_rl.errors import ConfigError, EnvironmentContractError, did_you_mean

#: The dtypes of tensors that are made of infos.
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64")
_FIELDS = ("shape", "dtype")
_ABSENT = object()
_SOURCE = Source(
    says="info_keys says",
    declaration="info_keys (gym_env.info_keys in a configuration)",
    owner="the environment's info",
    example="value",
)


@dataclass(frozen=True)
class InfoKey:
    """One key, "action_mask", or "agent/action_mask" where it is nested; shape and dtype are of one environment."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def of_one(self, info: Mapping[str, Any]) -> np.ndarray:
        """Return the value in one environment's info, `[*shape]`, perhaps in another dtype that fits.

        Raises:
            EnvironmentContractError: it is missing, or of another shape or dtype.
        """
        value = info.get(self.name, _ABSENT)
        if value.__class__ is np.ndarray and value.shape == self.shape and value.dtype is self.dtype:
            return value
        if value is _ABSENT:
            holder, key = self._path(info)[-1]
            value = holder[key]
        self._check(value, self.shape)
        return np.asarray(value)

    def of_all(self, infos: Mapping[str, Any] | list[Any] | tuple[Any, ...], n_envs: int) -> np.ndarray:
        """Return the values of all environments, `[B, *shape]`, a new array.

        Args:
            infos: as gymnasium's vector environments give them: arrays `[B, ...]` by key, with `_key` (`[B]` bool)
                beside each `key`, which says whose it is; or one dictionary for each environment.
            n_envs: B.

        Raises:
            EnvironmentContractError: that of an environment is missing, or of another shape or dtype.
        """
        if isinstance(infos, Mapping):
            for holder, key in self._path(infos):
                lacks = ~np.asarray(holder.get(f"_{key}", True), dtype=bool)
                if lacks.any():
                    raise _of_environment(self._missing(infos), int(lacks.argmax()))
            values = holder[key]
            if getattr(values, "dtype", None) != np.dtype(object) or len(values) != n_envs:
                self._check(values, (n_envs, *self.shape))
                return np.array(values, dtype=self.dtype)
            infos = [{self.name: value} for value in values]
        if len(infos) != n_envs:
            raise EnvironmentContractError(f"its infos must be of {n_envs} environments, {len(infos)} found.")
        batch = self.zeros(n_envs)
        for index, info in enumerate(infos):
            try:
                batch[index] = self.of_one(info if isinstance(info, Mapping) else {})
            except EnvironmentContractError as error:
                raise _of_environment(error, index) from None
        return batch

    def zeros(self, n_envs: int) -> np.ndarray:
        """Return zeros for all environments, `[B, *shape]`."""
        return np.zeros((n_envs, *self.shape), self.dtype)

    def _path(self, info: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str]]:
        """Return the dictionaries on the way to the value, each with its key: by the whole name, else part by part."""
        path: list[tuple[Mapping[str, Any], str]] = []
        found: Any = info
        for key in [self.name] if self.name in info else self.name.split("/"):
            if not isinstance(found, Mapping) or key not in found:
                raise self._missing(info)
            path.append((found, key))
            found = found[key]
        return path

    def _check(self, value: Any, shape: tuple[int, ...]) -> None:
        check_array(value, shape, self.dtype, f"info {self.name!r}", _SOURCE, n_batch=len(shape) - len(self.shape))

    def _missing(self, info: Mapping[str, Any]) -> EnvironmentContractError:
        found = sorted(key for key in map(str, info) if not key.startswith("_"))
        return EnvironmentContractError(
            f"its info must hold {self.name!r}, {self.dtype} of shape {list(self.shape)}, at every step and reset, as "
            f"info_keys says, keys {found} found.{did_you_mean(self.name, found)} Put it there, or leave it out of "
            "info_keys (gym_env.info_keys in a configuration)."
        )


class InfoKeys:
    """The keys of infos that become variables; all else in infos is thrown away."""

    def __init__(self, keys: tuple[InfoKey, ...] = ()) -> None:
        """Ask for these keys."""
        self._keys = keys

    @classmethod
    def of(cls, given: Mapping[str, Any] | None, path: str = "info_keys") -> InfoKeys:
        """Return the keys that a dictionary describes: `{"action_mask": {"shape": [4], "dtype": "bool"}}`.

        Raises:
            ConfigError: a name, a shape or a dtype is impossible, or something else stands there.
        """
        return cls(tuple(_key(name, described, f"{path}.{name}") for name, described in (given or {}).items()))

    def __iter__(self) -> Iterator[InfoKey]:
        """Yield the keys."""
        return iter(self._keys)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._keys)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return the dictionary that `of` takes."""
        return {one.name: {"shape": list(one.shape), "dtype": str(one.dtype)} for one in self._keys}

    def of_one(self, info: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the values of one environment's info by name, new arrays `[*shape]`.

        Raises:
            EnvironmentContractError: one is missing, or of another shape or dtype.
        """
        return {one.name: np.array(one.of_one(info), dtype=one.dtype) for one in self._keys}

    def batch(self, n_envs: int) -> dict[str, np.ndarray]:
        """Return zeros by name, `[B, *shape]`."""
        return {one.name: one.zeros(n_envs) for one in self._keys}


def _key(name: Any, described: Any, path: str) -> InfoKey:
    if not isinstance(name, str) or not all(part and not part.startswith("_") for part in name.split("/")):
        raise ConfigError(
            f"{path}: a key of info, such as action_mask, or agent/action_mask where it is nested, expected, {name!r} "
            "found. None begins with '_': gymnasium's vector environments note there who has the key."
        )
    if not isinstance(described, Mapping):
        raise ConfigError(f"{path}: {{shape: [4], dtype: bool}} or the like expected, {told(described)} found.")
    for one in described:
        if one not in _FIELDS:
            raise ConfigError(
                f"unknown key '{path}.{one}'.{did_you_mean(str(one), _FIELDS)} Valid here: {', '.join(_FIELDS)}."
            )
    shape, dtype = described.get("shape", _ABSENT), described.get("dtype", _ABSENT)
    sizes = shape if isinstance(shape, list | tuple) else [0]
    if not all(isinstance(one, int | np.integer) and not isinstance(one, bool) and one >= 1 for one in sizes):
        raise ConfigError(
            f"{path}.shape: a list of whole numbers of at least 1 expected, that of one environment's value ([] of a "
            f"single number), {'none' if shape is _ABSENT else told(shape)} found."
        )
    if str(dtype) not in DTYPES:
        found = "none" if dtype is _ABSENT else told(dtype)
        raise ConfigError(
            f"{path}.dtype: one of {', '.join(DTYPES)} expected, {found} found.{did_you_mean(str(dtype), DTYPES)}"
        )
    return InfoKey(name, tuple(int(one) for one in sizes), np.dtype(str(dtype)))


def _of_environment(error: EnvironmentContractError, index: int) -> EnvironmentContractError:
    error.index = index
    return error
