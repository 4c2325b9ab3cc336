"""Environments in processes of their own, which may raise, hang or die without taking the run with them."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import select
import signal
import time
import traceback
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState, _async_worker

from workspace_rl.envs.contract.checked_env import CheckedEnv, sendable
from workspace_rl.envs.contract.environment import failure
from workspace_rl.envs.spaces.actions import check_action_space
from workspace_rl.envs.spaces.observations import space_leaves
from workspace_rl.errors import EnvironmentContractError, EnvironmentFailedError, EnvironmentTimeoutError
from workspace_rl.machine.processes import NEEDS_GUARD, end_group, own_group, require_may_start, starts_anew

#: Seconds that workers get to close their environments before they are killed.
GRACE = 5.0


class AsyncEnvs(AsyncVectorEnv):
    """gymnasium's `AsyncVectorEnv` whose workers cannot fail unnoticed.

    If an environment raises, gives no answer in time, returns what it must not, or its process dies, this is told by an
    `EnvironmentFailedError` with the environment's index, and all workers have ended by then.
    """

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env[Any, Any]]], timeout: float | None) -> None:
        """Start a worker for each function; `timeout` is how many seconds an environment may take to answer."""
        require_may_start()
        self._timeout, self._owner = timeout, os.getpid()
        self.parent_pipes, self.processes = [], []
        self._state = AsyncState.DEFAULT
        #: What environments raised when they were closed.
        self.close_failures: list[EnvironmentFailedError] = []
        makers = [partial(_make_checked, make, index) for index, make in enumerate(env_fns)]
        try:
            # No daemons: those may not start processes, as some simulators do.
            super().__init__(makers, copy=False, autoreset_mode=AutoresetMode.NEXT_STEP, worker=_work, daemon=False)
            _running.add(self)
        except BaseException:
            self.close(terminate=True)
            raise

    def _check_spaces(self) -> None:
        # The last thing that is done when workers are started, and the first that needs their answers.
        self.parent_pipes = [
            _Pipe(pipe, process, index, self._timeout)  # type: ignore[misc]
            for index, (pipe, process) in enumerate(zip(self.parent_pipes, self.processes, strict=True))
        ]
        try:
            super()._check_spaces()
        except RuntimeError as error:
            if isinstance(error, EnvironmentFailedError):
                raise
            raise EnvironmentContractError(
                "the spaces of some environments differ from those of environment 0; all must have the same, since "
                "they are stepped together. Let the function that makes them give them equal spaces."
            ) from error

    def reset(self, **options: Any) -> Any:
        """Reset all environments."""
        return self._or_end(super().reset, **options)

    def step(self, actions: Any) -> Any:
        """Step all environments; those whose episode was over are reset instead."""
        return self._or_end(super().step, actions)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of all environments, for instance `render`, or read an attribute."""
        return self._or_end(super().call, name, *args, **kwargs)

    def _or_end(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except EnvironmentFailedError:
            self.close()
            raise

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        failed = [index for index, success in enumerate(successes) if not success]
        if not failed:
            return
        reasons: dict[int, EnvironmentFailedError] = {}
        while len(reasons) < len(failed):
            try:
                index, kind, error, trace = self.error_queue.get(timeout=GRACE)
            except queue.Empty:  # what it raised cannot be sent
                break
            if kind is _CloseFailure:
                self.close_failures.append(error)
                continue
            reasons[index] = failure(error, index)
            reasons[index].__cause__ = reasons[index].__cause__ or _WorkerTraceback(trace)
        first = failed[0]
        raise reasons.get(first) or failure(RuntimeError("an error that cannot be sent between processes"), first)

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """End all workers: at once with `terminate`, else after `timeout` seconds (`GRACE` unless given) to close."""
        if not terminate:
            for pipe in self.parent_pipes:
                try:
                    pipe.send(("close", None))
                except EnvironmentFailedError:
                    continue  # it has ended already
        # Their answers are not waited for: a worker that is still stepping closes when it is through.
        deadline = time.monotonic() + (0 if terminate else GRACE if timeout is None else timeout)
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
        left = [process for process in self.processes if process.is_alive()]
        for end, patience in ((BaseProcess.terminate, 1.0), (BaseProcess.kill, None)):
            for process in left:
                end(process)
            deadline = time.monotonic() + 1.0
            for process in left:
                process.join(None if patience is None else max(0.0, deadline - time.monotonic()))
            left = [process for process in left if process.is_alive()]
        for process in self.processes:
            end_group(process.pid)
        for pipe in self.parent_pipes:
            pipe.close()
        if hasattr(self, "error_queue"):
            while not self.error_queue.empty():
                _, kind, error, _ = self.error_queue.get()
                if kind is _CloseFailure:
                    self.close_failures.append(error)
            self.error_queue.close()

    def __del__(self) -> None:
        """End the workers, unless this is a copy in a process that was forked meanwhile."""
        if getattr(self, "_owner", None) == os.getpid():
            super().__del__()


#: What is ended when this process does: it would wait for workers that nobody has told to end.
_running: weakref.WeakSet[AsyncEnvs] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for envs in list(_running):
        if envs._owner == os.getpid():
            with contextlib.suppress(Exception):
                envs.close()


class _Pipe:
    """The connection to a worker. Waits so long and no longer, and says which worker it was."""

    def __init__(self, connection: Connection, process: BaseProcess, index: int, timeout: float | None) -> None:
        self._connection, self._process, self._index, self._timeout = connection, process, index, timeout
        self._has_answered = False
        self._poll: Callable[[float], Any] = lambda milliseconds: connection.poll(milliseconds / 1000)
        if hasattr(select, "poll"):  # kept, since making one for each message takes five times as long
            poller = select.poll()
            poller.register(connection.fileno(), select.POLLIN)
            self._poll = poller.poll

    def send(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._dead() from error

    def recv(self) -> Any:
        # In slices: where an environment has started processes of its own, its pipe stays open when it dies.
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while not self._poll(1000 if deadline is None else min(1000, 1000 * max(0.0, deadline - time.monotonic()))):
            if not self._process.is_alive() and not self._poll(0):
                raise self._dead()
            if deadline is not None and time.monotonic() >= deadline:
                raise self._silent()
        try:
            answer = self._connection.recv()
            self._has_answered = True
            return answer
        except (EOFError, OSError) as error:
            raise self._dead() from error

    def poll(self, timeout: float = 0.0) -> bool:
        return bool(self._poll(1000 * timeout))

    @property
    def closed(self) -> bool:
        return self._connection.closed

    def close(self) -> None:
        self._connection.close()

    def _dead(self) -> EnvironmentFailedError:
        self._process.join(1.0)
        code = self._process.exitcode
        how = "" if code is None else f" with exit code {code}"
        if code is not None and code < 0:
            how = f" by signal {-code} ({signal.strsignal(-code)})"
        reason = (
            "A crash of the simulator, too little memory, or a call of os._exit does that; vectorization='sync' runs "
            "it in the training process, where a debugger and faulthandler can see it."
        )
        if not self._has_answered and code == 1 and starts_anew():
            reason = (
                f"{NEEDS_GUARD} Otherwise what ended it stands above; vectorization='sync' runs the environment in the "
                "training process."
            )
        error = EnvironmentFailedError(f"its process ended{how}. {reason}")
        error.index = self._index
        return error

    def _silent(self) -> EnvironmentTimeoutError:
        self._process.kill()
        error = EnvironmentTimeoutError(
            f"it gave no answer within {self._timeout:g} seconds. If it may take that long, give it more time: timeout "
            "(gym_env.timeout in a configuration, in seconds, null for no limit)."
        )
        error.index = self._index
        return error


class _CloseFailure(Exception):
    """Marks what an environment raised when it was closed, among what else workers report."""


class _WorkerTraceback(Exception):
    """Where in a worker an environment raised, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _make_checked(make: Callable[[], gym.Env[Any, Any]], index: int) -> CheckedEnv:
    """Return a new environment that is checked.

    Raises:
        UnsupportedSpaceError: a space is of a kind that is not supported.
        EnvironmentFailedError: making it raised an exception.
    """
    try:
        env = CheckedEnv(make(), index)
        space_leaves(env.observation_space, "env_obs")
        check_action_space(env.action_space)
    except (Exception, SystemExit) as error:
        raise sendable(error, index) from error
    return env


def _work(
    index: int,
    make: Callable[[], gym.Env[Any, Any]],
    pipe: Any,
    parent_pipe: Any,
    shared_memory: Any,
    error_queue: Any,
    *rest: Any,
) -> None:
    """Run one environment, as gymnasium does, but report what happens while it is made as well."""
    with own_group():
        _run_environment(index, make, pipe, parent_pipe, shared_memory, error_queue, *rest)


def _run_environment(
    index: int, make: Callable[[], Any], pipe: Any, parent_pipe: Any, shared_memory: Any, error_queue: Any, *rest: Any
) -> None:
    try:
        env: Any = make()
    except (Exception, SystemExit) as error:
        parent_pipe.close()
        pipe.recv()  # an answer is only looked at after the question
        error_queue.put((index, EnvironmentFailedError, sendable(error), traceback.format_exc()))
        pipe.send((None, False))
        return
    env.on_close_failure = lambda error: error_queue.put((index, _CloseFailure, error, ""))
    try:
        _async_worker(index, lambda: env, pipe, parent_pipe, shared_memory, error_queue, *rest)
    except (OSError, EOFError):  # the process that started this one has gone
        pass
