"""The folder of a run in a few lines: checksums of all that must not change, measurements as they are."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

#: Relative, and absolute, by which measurements of other machines may differ while rounding has not yet grown.
TOLERANCE, ABSOLUTE = 1e-3, 1e-4


def fingerprint(run: Path) -> dict[str, Any]:
    """Return what a run has measured, counted and learned, of each tensor the type, the shape and a checksum.

    Read from the files, by their formats: so it does not depend on where in the library things stand.
    """
    found: dict[str, Any] = {"metrics": (run / "metrics.csv").read_text(encoding="utf-8").splitlines()}
    for which in ("latest", "best"):
        found[f"{which}/policy"] = _checksums(load_file(run / which / "policy.safetensors"))
        found[f"{which}/eval.json"] = json.loads((run / which / "eval.json").read_text(encoding="utf-8"))
    manifests = sorted((run / "checkpoints").glob("checkpoint-*.json"), key=_step)
    if manifests:
        manifest = json.loads(manifests[-1].read_text(encoding="utf-8"))
        found["steps"], found["updates"] = manifest["step"], manifest["state"]["loop"]["n_updates"]
        found["checkpoint"] = _checksums(load_file(run / "checkpoints" / manifest["tensors"]))
        found["replay buffer"] = _checksums(_rows(run / "checkpoints", [name for name, _ in manifest["rows"]]))
    return found


def differences(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return in what two fingerprints differ, bit for bit."""
    ours, theirs = _flat(recorded), _flat(found)
    return [
        f"{name}: {ours.get(name, 'nothing')} recorded, {theirs.get(name, 'nothing')} found"
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name)
    ]


def rough_differences(recorded: Mapping[str, Any], found: Mapping[str, Any], until: int) -> list[str]:
    """Return in what two fingerprints differ, but for rounding: what holds on every machine.

    Names and shapes of tensors, and measurements up to the step `until`, within `TOLERANCE`; later on, rounding decides
    which action is taken.
    """
    ours, theirs = _until(recorded["metrics"], until), _until(found["metrics"], until)
    told = [f"measured at {key}: {one}" for key, one in _unlike(ours, theirs)]
    names = [{line.split(",")[1] for line in one["metrics"][1:]} for one in (recorded, found)]
    told += [f"only one of them has measured {name}" for name in sorted(names[0] ^ names[1])]
    for part in ("latest/policy", "best/policy", "checkpoint"):
        mine, other = (_shapes(run.get(part, {})) for run in (recorded, found))
        told += [f"{part}: {name}: {one}" for name, one in _unlike(mine, other)]
    return told


def _checksums(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return "float32[16, 3] CHECKSUM" by name; half a SHA-256 will do."""
    return {
        name: f"{_kind(one)} {hashlib.sha256(_content(one)).hexdigest()[:32]}" for name, one in sorted(tensors.items())
    }


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _content(tensor: Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def _shapes(tensors: Mapping[str, str]) -> dict[str, str]:
    return {name: one.rpartition(" ")[0] for name, one in tensors.items()}


def _rows(folder: Path, names: list[str]) -> dict[str, Tensor]:
    """Return the frames in a replay buffer, however they were cut into files."""
    pieces = [load_file(folder / name) for name in names]
    return {key: torch.cat([one[key] for one in pieces]) for key in pieces[0]} if pieces else {}


def _step(manifest: Path) -> int:
    return int(manifest.stem.rpartition("-")[2])


def _flat(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fingerprint in one level; of the measurements each line."""
    flat: dict[str, Any] = {}
    for part, value in fingerprint.items():
        if part == "metrics":
            flat |= {f"metrics.csv, line {number}": line for number, line in enumerate(value, start=1)}
        elif isinstance(value, Mapping):
            flat |= {f"{part}: {name}": one for name, one in value.items()}
        else:
            flat[part] = value
    return flat


def _until(lines: list[str], until: int) -> dict[tuple[int, str], float]:
    rows = (line.split(",") for line in lines[1:])
    return {(int(step), name): float(value) for step, name, value in rows if int(step) <= until}


def _unlike(ours: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> list[tuple[Any, str]]:
    return [
        (key, f"{ours.get(key, 'nothing')} recorded, {theirs.get(key, 'nothing')} found")
        for key in dict.fromkeys([*ours, *theirs])
        if key not in ours or key not in theirs or not _alike(ours[key], theirs[key])
    ]


def _alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=TOLERANCE, abs_tol=ABSOLUTE)
    return bool(ours == theirs)
