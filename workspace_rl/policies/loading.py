"""Loading policies: the agents are built anew, and given their weights. Nothing is unpickled."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from workspace_rl.agent import Agent
from workspace_rl.basics.arguments import checked
from workspace_rl.basics.classes import allowed_list
from workspace_rl.basics.seeding import RandomState
from workspace_rl.config.plain_yaml import check_yaml
from workspace_rl.errors import PolicyFileError
from workspace_rl.learning.state.module_state import misfits, put_buffers
from workspace_rl.policies.construction import build_agent
from workspace_rl.policies.files import ARCHITECTURE, WEIGHTS, checksum_of, policy_file, policy_folder, read_weights
from workspace_rl.policies.spaces import PolicySpaces


@checked(error=PolicyFileError, unless=("allow",))
def load_policy(folder: str | Path, allow: Sequence[str | type] = ()) -> Agent:
    """Rebuild the policy that `save_policy` wrote; it acts the same, bit for bit.

    Args:
        folder: a folder with `policy.safetensors` and `policy.yaml`, or a run, whose best policy is taken.
        allow: classes of your own that the policy may be built from, their full names ("my_module:MyActor"), or the
            names of their modules; the library's own and those of torch.nn need no leave, environments excepted, which
            may import and start anything.

    Raises:
        PolicyFileError: `folder` is no path or holds no policy, the files are damaged, changed or do not fit together,
            or a class is named that is not allowed.
        ConfigError: `allow` holds something else than classes and names.
    """
    folder, allow = policy_folder(folder), allowed_list(allow)
    try:
        architecture = yaml.safe_load(check_yaml(policy_file(folder, ARCHITECTURE).read_text(encoding="utf-8")))
        weights, checksum = read_weights(folder)
        described, checksums = architecture["agent"], list(architecture.get("checksums", ()))
        spaces = architecture.get("spaces")
        expected_checksum = checksum_of(described, weights, spaces)
    except PolicyFileError:
        raise
    except Exception as error:  # whatever the readers make of damaged files
        raise PolicyFileError(f"the policy in {folder} cannot be read: {type(error).__name__}: {error}") from error
    # The weights decide; building must not draw from the caller's random numbers.
    with RandomState(0), _bounded_construction(weights):
        agent = build_agent(described, list(allow))
    differing = misfits(agent, weights)
    if differing:
        listed = "; ".join(f"{name}: {e} described, {f} stored" for name, (e, f) in differing.items())
        raise PolicyFileError(f"the weights in {folder} do not fit the architecture: {listed}.")
    if checksum != expected_checksum or checksum not in checksums:
        raise PolicyFileError(
            f"the policy in {folder} is damaged or was changed: the checksum of {WEIGHTS} and {ARCHITECTURE} is wrong. "
            "Use an older copy of both."
        )
    try:
        put_buffers(agent, weights)
        agent.load_state_dict(_tied(agent, weights), assign=True)
    except Exception as error:  # for instance whole numbers where gradients are needed
        raise PolicyFileError(f"the weights in {folder} cannot be taken: {error}") from error
    if spaces is not None:
        agent.policy_spaces = PolicySpaces.rebuild(spaces)
    return agent.eval()


def _tied(agent: Agent, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the agent's `state_dict`, one parameter where its modules share one."""
    state, shared = agent.state_dict(keep_vars=True), dict[Tensor, Tensor]()
    tied = {name: weights[name] for name in state}
    for name, value in state.items():
        if isinstance(value, nn.Parameter):
            first = shared.setdefault(value, nn.Parameter(tied[name], requires_grad=value.requires_grad))
            if torch.equal(first, tied[name]):
                tied[name] = first
    return tied


@contextlib.contextmanager
def _bounded_construction(weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Stop the building of agents that are much larger than the weights that are stored.

    Sizes in a hostile or damaged description could otherwise claim all memory, or never come to an end, before the
    shapes are compared. A parameter is looked at when its module receives it, which is before it is initialised.
    """
    thread = threading.get_ident()
    most_values = 1_000_000 + sum(value.numel() for value in weights.values())
    most_parameters = 1000 + 10 * len(weights)
    n_parameters = 0

    def check(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal n_parameters
        if parameter is None or threading.get_ident() != thread:
            return
        n_parameters += 1
        if n_parameters > most_parameters or parameter.numel() > most_values:
            raise PolicyFileError(
                f"the weights do not fit the architecture: it is far larger ({type(module).__name__}.{name}: "
                f"{tuple(parameter.shape)} described) than the {len(weights)} tensors that are stored."
            )

    handle = register_module_parameter_registration_hook(check)
    try:
        yield
    finally:
        handle.remove()
