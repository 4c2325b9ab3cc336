"""Saving policies: weights as safetensors, the agents' construction as YAML."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.basics.arguments import checked
from workspace_rl.config.plain_yaml import MAX_CHARACTERS
from workspace_rl.errors import PolicyFileError
from workspace_rl.learning.state.module_state import require_created, state_by_name
from workspace_rl.machine.files import absolute, whole_file, write_text
from workspace_rl.policies.construction import describe_agent
from workspace_rl.policies.files import ARCHITECTURE, WEIGHTS, checksum_of, read_weights
from workspace_rl.policies.spaces import spaces_of


@checked(error=PolicyFileError)
def save_policy(policy: Agent, folder: str | Path, env_or_spaces: Any = None) -> None:
    """Write `policy.safetensors` and `policy.yaml` into `folder`, which is created if need be.

    The YAML names the agents' classes and the arguments they were built with, and the spaces that the policy was made
    for: those of `env_or_spaces` (see `policy_function`), or else those that it was trained or loaded with. Both files
    carry a checksum of everything, so that neither can be damaged, changed or exchanged unnoticed. Whenever the writing
    is interrupted, what the folder holds is the old policy or the new one, if both are built alike.

    Raises:
        PolicyFileError: see `check_savable`.
        RunFolderError: the files cannot be written.
    """
    folder = absolute(folder)
    described = describe_agent(policy)
    known = policy.policy_spaces
    spaces = known if env_or_spaces is None else spaces_of(env_or_spaces, known)
    plain = None if spaces is None else spaces.describe()
    # Copies, since an agent that stands twice in a composition would share its tensors, which the format cannot.
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in _tensors(policy).items()}
    checksum = checksum_of(described, weights, plain)
    older = None
    with contextlib.suppress(Exception):  # there are no older weights, or they are damaged
        _, older = read_weights(folder)
    if older is not None:  # the YAML knows both for as long as either may be there
        write_text(folder / ARCHITECTURE, _to_yaml(described, plain, [checksum, older]))
    with whole_file(folder / WEIGHTS) as temporary:
        save_file(weights, temporary, metadata={"checksum": checksum})
    write_text(folder / ARCHITECTURE, _to_yaml(described, plain, [checksum]))


def check_savable(policy: Agent) -> None:
    """Tell now whether `save_policy` will be able to write a policy.

    Raises:
        PolicyFileError: an agent was built with an argument that cannot be written down, or has state besides tensors.
        CompositionError: it has parameters that are created at its first call only.
    """
    describe_agent(policy)
    _tensors(policy)


def _tensors(policy: Agent) -> dict[str, Tensor]:
    state = state_by_name(policy)
    require_created(policy, policy.description())
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise PolicyFileError(
                f"{policy.description()}: {name!r}, of get_extra_state, is a {type(value).__name__}. A policy is saved "
                "as tensors: keep it in a buffer (register_buffer), or return a tensor."
            )
    return dict(state)


def _to_yaml(described: dict[str, Any], spaces: dict[str, Any] | None, checksums: list[str]) -> str:
    known = {} if spaces is None else {"spaces": spaces}
    text = yaml.safe_dump({"agent": described, **known, "checksums": checksums}, sort_keys=False)
    if len(text) > MAX_CHARACTERS:
        raise PolicyFileError(
            f"the policy's description would have {len(text):,} characters; at most {MAX_CHARACTERS:,} are read back. "
            "Keep large tables in buffers (register_buffer) rather than in arguments of constructors."
        )
    return text
