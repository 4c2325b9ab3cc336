"""Environments in processes of their own, which may raise, hang or die without taking the run with them."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState

from workspace_rl.envs.contract.failures import failure
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.envs.vector.pipes import Pipe
from workspace_rl.envs.vector.workers import CloseFailure, make_checked, work
from workspace_rl.errors import EnvironmentContractError, EnvironmentFailedError
from workspace_rl.machine.processes import end_group, require_may_start

#: Seconds that workers get to close their environments before they are killed.
GRACE = 5.0


class AsyncEnvs(AsyncVectorEnv):
    """gymnasium's `AsyncVectorEnv` whose workers cannot fail unnoticed.

    If an environment raises, gives no answer in time, returns what it must not, or its process dies, this is told by an
    `EnvironmentFailedError` with the environment's index, and all workers have ended by then.
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], gym.Env[Any, Any]]],
        timeout: float | None,
        info_keys: InfoKeys | None = None,
    ) -> None:
        """Start a worker for each function.

        Args:
            env_fns: they make an environment each.
            timeout: how many seconds an environment may take to answer.
            info_keys: what of infos is passed on.
        """
        require_may_start()
        self._timeout, self._owner = timeout, os.getpid()
        self.parent_pipes, self.processes = [], []
        self._state = AsyncState.DEFAULT
        #: What environments raised when they were closed.
        self.close_failures: list[EnvironmentFailedError] = []
        self._named = (info_keys or InfoKeys()).batch(len(env_fns))
        makers = [partial(make_checked, make, index, info_keys) for index, make in enumerate(env_fns)]
        try:
            # No daemons: those may not start processes, as some simulators do.
            super().__init__(makers, copy=False, autoreset_mode=AutoresetMode.NEXT_STEP, worker=work, daemon=False)
            _running.add(self)
        except BaseException:
            self.close(terminate=True)
            raise

    def _check_spaces(self) -> None:
        # The last thing that is done when workers are started, and the first that needs their answers.
        self.parent_pipes = [
            Pipe(pipe, process, index, self._timeout)  # type: ignore[misc]
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

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        for name, value in env_info.items():
            self._named[name][env_num] = value
        return self._named

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
            if kind is CloseFailure:
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
                if kind is CloseFailure:
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


class _WorkerTraceback(Exception):
    """Where in a worker an environment raised, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"
