"""The two files of a policy, `policy.safetensors` and `policy.yaml`: where they are, and what tells damage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from workspace_rl.config.plain_yaml import MAX_CHARACTERS
from workspace_rl.errors import PolicyFileError
from workspace_rl.machine.files import absolute, is_inside

WEIGHTS, ARCHITECTURE = "policy.safetensors", "policy.yaml"


def policy_folder(path: str | Path) -> Path:
    """Return `path` if it holds a policy, else its `best` or `latest` subfolder.

    Raises:
        PolicyFileError: none of them holds a policy, it lies outside of `path`, or `path` is a pickle.
    """
    path = absolute(path)
    if path.is_file():
        raise PolicyFileError(
            f"{str(path)!r} is a file, as torch.save and BBRL write it: a pickle, which may run anybody's code when "
            "opened. So it is not. If you trust it, convert it once, with the real bbrl or whatever wrote it: "
            "agent = torch.load(file, weights_only=False); safetensors.torch.save_model(agent, 'weights.safetensors'). "
            "Then build the agent here and call safetensors.torch.load_model(agent, 'weights.safetensors')."
        )
    for folder in (path, path / "best", path / "latest"):
        if (folder / ARCHITECTURE).is_file():
            if not is_inside(path, folder):
                raise PolicyFileError(f"{folder} leads out of its folder, to {folder.resolve()}. Give that one.")
            return folder
    raise PolicyFileError(
        f"{path} holds no policy ({ARCHITECTURE} and {WEIGHTS}), nor do its folders 'best' and 'latest'. "
        "Give the folder of a run, or of a saved policy."
    )


def policy_file(folder: Path, name: str) -> Path:
    """Return the path of one of a policy's files, if it is one, and lies in the folder."""
    path = folder / name
    if not path.is_file():
        raise PolicyFileError(f"the policy in {folder} is incomplete: there is no file {name}.")
    if not is_inside(folder, path):
        raise PolicyFileError(
            f"{path} leads out of its folder, to {path.resolve()}. Copy the file into the folder if you trust it."
        )
    if name == ARCHITECTURE and path.stat().st_size > 4 * MAX_CHARACTERS:  # bytes of one character in UTF-8
        raise PolicyFileError(f"{path} is too large to describe a policy: {path.stat().st_size:,} bytes.")
    return path


def read_weights(folder: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Return the weights of a policy by their names, and the checksum that stands beside them."""
    with safe_open(policy_file(folder, WEIGHTS), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, str((file.metadata() or {}).get("checksum"))


def checksum_of(described: Any, weights: Mapping[str, torch.Tensor], spaces: Any = None) -> str:
    """Return the checksum of all that a policy's two files say."""
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    if spaces is not None:  # which older files have not
        digest.update(json.dumps(spaces, sort_keys=True).encode())
    for name in sorted(weights):
        value = weights[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
