"""What the loop expects of an algorithm, told before it is missed."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from collections.abc import Iterator
from typing import Any

from workspace_rl.agent import is_agent, state_variables
from workspace_rl.config.networks_config import EncoderConfig, memory_of
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.spaces.sizes import ACTION_KINDS
from workspace_rl.errors import CompositionError, ConfigError, UnsupportedSpaceError, did_you_mean

#: What an algorithm's `build` sets, and what for.
POLICIES = {
    "policy": "acts while training, and explores",
    "random_policy": "acts in the first random_steps, for instance RandomAgent(self.train_env.action_space)",
    "eval_policy": "is scored and saved, for instance the actor without noise",
}
#: What the loop asks of the parts that an algorithm makes: how it is called, and what for.
PARTS: dict[str, tuple[str, dict[str, str]]] = {
    "make_collector": (
        "a collector (see workspace_rl.experience.Collecting)",
        {
            "collect(n_steps, step=, random=)": "runs the environments and returns a Fragment",
            "load_policy(learner_policy, version)": "takes the weights that it acts with",
            "renew(n_transitions)": "begins new episodes in new environments, as after a checkpoint",
            "close()": "closes the environments at the end",
        },
    ),
    "make_experience": (
        "an object of a class derived from workspace_rl.experience.Experience",
        {
            "put(fragment)": "takes what was collected",
            "ready(n_transitions)": "says whether there is something to learn from",
            "batches()": "yields a batch for each update",
            "end_episodes()": "cuts off the episodes that are running",
            "variables": "names what its batches have",
            "window": "is the number of steps of a batch",
            "rows": "is the range of rows that checkpoints keep",
            "read_rows(start, stop)": "returns some of them for a checkpoint",
            "describe()": "returns what checkpoints keep besides",
            "restore(description, pieces)": "takes all of that up again",
        },
    ),
}
#: Attributes of objects that the loop sets and uses.
_OF_THE_LOOP = ("progress", "ranks", "run", "scoring")
_FOR_ALL = "PPO, A2C and REINFORCE are for actions of all kinds."
#: What there is for the actions of an environment.
_FOR_ACTIONS = {
    "continuous": "SAC, TD3 and DDPG, TQC and CrossQ are for continuous ones; {classname: DiscretizeAction, bins: 5} "
    f"in gym_env.wrappers makes a few choices of them. {_FOR_ALL}",
    "discrete": f"DQN and SACDiscrete are for discrete ones. {_FOR_ALL}",
    "multi-discrete": f"{_FOR_ALL} DQN and SACDiscrete are for a single choice: number the combinations in a "
    "subclass of gymnasium.ActionWrapper, and name it in gym_env.wrappers.",
}
_FOR_ACTIONS["multi-binary"] = _FOR_ACTIONS["multi-discrete"]


def require_declared(algorithm: type) -> None:
    """Look whether the class of an algorithm says what it is for, and how it learns.

    Raises:
        CompositionError: it does not.
    """
    missing = sorted(getattr(algorithm, "__abstractmethods__", ()))
    if missing:
        raise CompositionError(
            f"{algorithm.__name__} does not implement {' and '.join(missing)}: an algorithm creates its agents in "
            "build(self), and learns in update(self, batch)."
        )
    if not hasattr(algorithm, "config_class"):
        raise CompositionError(
            f"{algorithm.__name__} does not name its parameters: config_class = MyConfig, a dataclass derived from "
            "workspace_rl.config.RunConfig."
        )
    given = getattr(algorithm, "action_kind", None)
    kinds = given if isinstance(given, tuple) else (given,)
    unknown = [one for one in kinds if one not in ACTION_KINDS]
    if unknown or not kinds:
        raise CompositionError(
            f"{algorithm.__name__} does not name the actions that it is for: action_kind must be one of "
            f"{', '.join(map(repr, ACTION_KINDS))}, or a tuple of such; {given!r} found."
            f"{did_you_mean(str(unknown[0]), ACTION_KINDS) if unknown else ''}"
        )


def action_kinds(algorithm: Any) -> tuple[str, ...]:
    """Return the kinds of actions that an algorithm is for (see `GymAgent.action_kind`)."""
    kinds = algorithm.action_kind
    return kinds if isinstance(kinds, tuple) else (kinds,)


def require_actions(algorithm: Any, env: GymAgent, env_name: str) -> None:
    """Look whether an algorithm is for the actions of an environment.

    Raises:
        UnsupportedSpaceError: it is not.
    """
    needed = action_kinds(algorithm)
    if env.action_kind not in needed:
        raise UnsupportedSpaceError(
            f"{algorithm.__name__} needs {' or '.join(needed)} actions, but {env_name!r} has {env.action_space}. "
            f"{_FOR_ACTIONS[env.action_kind]}"
        )


def require_mask(algorithm: Any) -> None:
    """Look whether what an algorithm takes for the mask of allowed actions is written, and fits the actions.

    Raises:
        ConfigError: the environments do not write it, or it is of another shape or dtype.
    """
    name: str | None = getattr(algorithm.parameters, "action_mask", None)
    if name is None:
        return
    env: GymAgent = algorithm.train_env
    if env.action_kind == "continuous":
        raise ConfigError(
            f"algorithm.action_mask: null expected for {env.action_space}, which holds no choices, {name!r} found."
        )
    n = env.action_size
    known = env.layouts()
    if name not in known:
        key = name.removeprefix("env/info/") if name.startswith("env/info/") else name.rpartition("/")[2]
        raise ConfigError(
            f"algorithm.action_mask: a variable of the environment with {n} booleans expected, one of "
            f"{', '.join(known)}; {name!r} found, which nobody writes.{did_you_mean(name, known)} What stands in info "
            f"is written if it is asked for: gym_env.info_keys={{{key}: {{shape: [{n}], dtype: bool}}}} writes "
            f"env/info/{key}."
        )
    shape, dtype = known[name]
    if shape != (n,) or dtype.kind not in "biu":
        raise ConfigError(
            f"algorithm.action_mask: {n} booleans expected, one for each choice of {env.action_space} (those of "
            f"several parts side by side), {name!r} found, which is {dtype} of shape {list(shape)}."
        )


@contextlib.contextmanager
def names_kept_free(algorithm: Any) -> Iterator[None]:
    """Look whether `build`, which runs within the block, gives attributes names that the loop needs.

    Methods may be replaced by others.

    Raises:
        CompositionError: it does.
    """
    before = {name: getattr(algorithm, name, None) for name in _OF_THE_LOOP}
    try:
        yield
    except AttributeError as error:
        # Python does not say by itself whose property cannot be set.
        found = re.match(r"property '(\w+)' of '(.*)' object has no setter", str(error))
        if found is not None and found[2] == type(algorithm).__qualname__:
            raise _taken(algorithm, found[1]) from error
        raise
    for name, value in vars(algorithm).items():
        known = getattr(type(algorithm), name, None)
        used = isinstance(known, functools.cached_property) or (inspect.isfunction(known) and not callable(value))
        if used or (name in before and value is not before[name]):
            raise _taken(algorithm, name)


def _taken(algorithm: Any, name: str) -> CompositionError:
    return CompositionError(
        f"{type(algorithm).__name__}.build sets self.{name}, which the loop uses for itself: give it another name, "
        f"self.my_{name} say."
    )


def require_policies(algorithm: Any) -> None:
    """Look whether `build` has set the policies.

    Raises:
        CompositionError: one is missing, or no agent.
    """
    who = type(algorithm).__name__
    for name in type(algorithm).policies:  # an object may have policies of its own
        found = getattr(algorithm, name, None)
        if not is_agent(found):
            what = "nothing" if found is None else type(found).__name__
            raise CompositionError(f"{who}.build sets no self.{name}, the agent that {POLICIES[name]}: {what} found.")


def require_normalisation(algorithm: Any) -> None:
    """Look whether `build` has made what normalises, where the configuration asks for it.

    Raises:
        ConfigError: it has not.
    """
    found = {one.statistics_of for one in algorithm.running_statistics()}
    for what in ("observations", "rewards"):
        if getattr(algorithm.parameters, f"normalize_{what}") and what not in found:
            raise ConfigError(
                f"algorithm.normalize_{what}: false expected, since {type(algorithm).__name__} does not normalise "
                f"{what}; true found. Its build makes what does by workspace_rl.agents.Normalizers, as those of "
                "workspace_rl.algos."
            )


def require_priorities(algorithm: Any) -> None:
    """Look whether an algorithm gives the priorities that its windows are to be drawn by.

    Raises:
        ConfigError: it does not.
    """
    found, who = getattr(algorithm.parameters, "prioritized", None), type(algorithm).__name__
    if found is not None and not algorithm.gives_priorities:
        raise ConfigError(
            f"algorithm.prioritized: null expected, since {who} does not say what each row of a batch was off; {found} "
            f"found. Its update returns that with its metrics, {{**metrics, **self.row_errors(errors, workspace)}}, "
            "and its class says so: gives_priorities = True."
        )


def require_front(algorithm: Any) -> None:
    """Look whether `build` has made the encoder and the memory that the configuration asks for.

    Raises:
        ConfigError: it has not.
    """
    who, policy = type(algorithm).__name__, algorithm.policy
    makers = "Its build makes one by workspace_rl.agents.Fronts or build_front, as those of workspace_rl.algos."
    memory = memory_of(algorithm.parameters)
    if memory.remembers and not state_variables(policy):
        raise ConfigError(
            f"algorithm.architecture.memory.kind: 'none' expected, since the policy that {who} builds remembers "
            f"nothing; {memory.kind!r} found. {makers}"
        )
    encoder = getattr(getattr(algorithm.parameters, "architecture", None), "encoder", None)
    if isinstance(encoder, EncoderConfig) and not any(_encodes(one, encoder) for one in policy.modules()):
        raise ConfigError(
            f"algorithm.architecture.encoder: null expected, since the policy that {who} builds has no encoder; "
            f"{encoder} found. {makers}"
        )


def _encodes(part: Any, encoder: EncoderConfig) -> bool:
    """Return whether a part of a policy is the encoder that was asked for, which may be a class of the user's own."""
    own = (encoder.classname or "").rpartition(".")[2]
    return type(part).__name__ == own or (hasattr(part, "parts") and hasattr(part, "n_features"))


def require_part(algorithm: type, maker: str, part: Any) -> None:
    """Look whether what a method of `PARTS` has returned can do what the loop asks of it.

    Raises:
        CompositionError: it cannot.
    """
    expected, members = PARTS[maker]
    who = f"{algorithm.__name__}.{maker} returns"
    if part is None or isinstance(part, type):
        what = "nothing" if part is None else f"the class {part.__name__}, not an object of it"
        raise CompositionError(f"{who} {what}; {expected} is expected.")
    for usage, purpose in members.items():
        name, is_method, arguments = usage.partition("(")
        found = getattr(part, name, None)
        if found is None or (is_method and not callable(found)):
            raise CompositionError(f"{who} {type(part).__name__}, which lacks {usage}: it {purpose}.")
        if is_method and not _takes(found, arguments.rstrip(")")):
            raise CompositionError(
                f"{who} {type(part).__name__}, whose {name}{inspect.signature(found)} cannot be called as {usage}: it "
                f"{purpose}."
            )


def _takes(function: Any, arguments: str) -> bool:
    """Return whether a function takes arguments such as "n_steps, step=": those with "=" are given by name."""
    names = [name for name in arguments.split(", ") if name]
    by_name = [name.rstrip("=") for name in names if name.endswith("=")]
    try:
        inspect.signature(function).bind(*names[: len(names) - len(by_name)], **dict.fromkeys(by_name))
    except TypeError:
        return False
    except ValueError:  # a function that does not say what it takes
        return True
    return True
