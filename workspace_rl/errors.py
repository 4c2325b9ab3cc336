"""Every error that the library raises on purpose.

Each class is also a subclass of the built-in exception that fits, so that `except KeyError` and its like keep working.
Messages say what happened, where, what was expected and found, and the way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WorkspaceRLError(Exception):
    """Base class of all errors of the library."""

    #: Where it happened, set by the innermost agent that was running (see `Agent.__call__`).
    where: str = ""

    def __str__(self) -> str:
        """Return the message, preceded by the agent that was running, if any."""
        message = " ".join(str(argument) for argument in self.args)
        return f"{self.where}: {message}" if self.where else message

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: where in the user's own code it happened, and the message."""
        from workspace_rl.messages.notebook import short_traceback

        return short_traceback(self)


class WorkspaceError(WorkspaceRLError):
    """Base class of what goes wrong between an agent and a workspace."""

    def __init__(self, message: str = "", *, variable: str = "", step: int | None = None) -> None:
        """Say what went wrong: with which variable, and at which step (None for the whole variable), if known."""
        super().__init__(message)
        self.variable, self.step = variable, step


class UnknownVariableError(WorkspaceError, KeyError):
    """A variable is read that nobody has written."""


class UnwrittenStepError(WorkspaceError, IndexError):
    """A single step of a variable is read that nobody has written."""


class VariableMismatchError(WorkspaceError, ValueError):
    """The shape, dtype or device of a variable changes, or two variables do not fit together."""


class NotATensorError(WorkspaceError, TypeError):
    """Something that is not a tensor is written to a workspace."""


class AccessError(WorkspaceError, TypeError):
    """A variable is read or written in a form that is none of the two."""


class NoWorkspaceError(WorkspaceError, RuntimeError):
    """An agent is used outside a call, or called without a workspace."""


class CompositionError(WorkspaceRLError, TypeError):
    """Agents are put together in a way that cannot run."""


class SharedEnvironmentError(CompositionError):
    """Environments that must be apart are one and the same object."""


class UnknownEnvironmentError(WorkspaceRLError, ValueError):
    """No environment is registered under this name."""


class MissingDependencyError(WorkspaceRLError, ImportError):
    """A package is missing; the message names the line that installs it."""


class PackageConflictError(WorkspaceRLError, ImportError):
    """A package and this library's stand-in for it would be mixed in one program."""


class NotCoveredError(WorkspaceRLError, NotImplementedError):
    """Something is used that another package has and this library's stand-in for it has not."""


class UnsupportedSpaceError(WorkspaceRLError, TypeError):
    """An observation or action space is of a kind that this agent or algorithm cannot handle."""


class ActionError(WorkspaceError, ValueError):
    """An action does not fit the action space of its environment."""


class ObservationError(WorkspaceRLError, ValueError):
    """An observation that a policy is asked about does not fit its observation space."""


class EnvironmentFailedError(WorkspaceRLError, RuntimeError):
    """An environment raised an exception, or the process it runs in died."""

    #: The environment's place in the vector of environments, counted from 0; None where it is not known.
    index: int | None = None
    #: The seed of its last reset that had one; None before the first, or where it has no seed of its own.
    seed: int | None = None


class EnvironmentTimeoutError(EnvironmentFailedError, TimeoutError):
    """An environment in a process of its own gives no answer."""


class EnvironmentContractError(EnvironmentFailedError, TypeError):
    """An environment returns something else than gymnasium's interface, or its own spaces, promise."""


class CollectorError(WorkspaceRLError, RuntimeError):
    """Collectors cannot be started, or have failed too often; the message names one, where it lived, and its error."""


class WorkerError(WorkspaceRLError, RuntimeError):
    """A process that works for this one cannot do what it is asked."""


class WorkerDiedError(WorkerError):
    """It has ended."""

    def __init__(self, message: str = "", *, exit_code: int | None = None) -> None:
        """Say what happened; `exit_code` is minus the signal's number where one ended it."""
        super().__init__(message)
        self.exit_code = exit_code


class WorkerSilentError(WorkerError, TimeoutError):
    """It is not heard of any more."""


class NonFiniteError(WorkspaceRLError, FloatingPointError):
    """A NaN or an infinity stands where learning needs finite numbers."""


class DivergedError(NonFiniteError):
    """A loss, a gradient or a weight has become NaN or infinite in an update."""

    def __init__(self, message: str = "", *, update: int = 0, batch: object = None) -> None:
        """Say after which update, and on which batch it learned if that is what went wrong."""
        super().__init__(message)
        self.update, self.batch = update, batch


class ReplayBufferError(WorkspaceRLError, ValueError):
    """Something is put into, or asked of, a replay buffer that does not fit it."""


class RateLimiterError(WorkspaceRLError, RuntimeError):
    """Collecting and learning wait for each other, and would for ever."""


class MetricError(WorkspaceRLError, TypeError):
    """A metric's name is no text, or its value is no number."""


class ConfigError(WorkspaceRLError, ValueError):
    """A configuration has an unknown key, a wrong type or an impossible value."""


class RunFolderError(WorkspaceRLError, OSError):
    """The folder of a run cannot be written, or does not hold a run."""


class PolicyFileError(WorkspaceRLError, ValueError):
    """A saved policy is incomplete, damaged, or names something that may not be loaded."""


class CheckpointError(WorkspaceRLError, ValueError):
    """A checkpoint is damaged, or does not fit the run that is to go on from it."""


class RankError(WorkspaceRLError, RuntimeError):
    """A rank of a training on several has ended early, or does not hold the weights that the others hold."""


class RenderingError(WorkspaceRLError, RuntimeError):
    """An environment cannot draw itself."""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the candidate nearest to `name`, or an empty string where none is near."""
    near = nearest(name, candidates)
    return "" if near is None else f" Did you mean {near!r}?"


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is spelt most like `name`, None where none is near."""
    near = difflib.get_close_matches(name, [str(candidate) for candidate in candidates], n=1, cutoff=0.5)
    return near[0] if near else None
