"""The connection to the process of an environment, which may die or give no answer."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from workspace_rl.errors import EnvironmentFailedError, EnvironmentTimeoutError
from workspace_rl.machine.processes import NEEDS_GUARD, starts_anew


class Pipe:
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
        """Send a message; raise an `EnvironmentFailedError` if the worker has ended."""
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._dead() from error

    def recv(self) -> Any:
        """Return the worker's answer.

        Raises:
            EnvironmentFailedError: the worker has ended.
            EnvironmentTimeoutError: it gave no answer in time; it is killed.
        """
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
        """Return whether there is an answer, after at most `timeout` seconds."""
        return bool(self._poll(1000 * timeout))

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self._connection.closed

    def close(self) -> None:
        """Close the connection."""
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
