"""A process of its own that makes an object and answers calls of its methods, whose failures are told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle
import torch

from workspace_rl.errors import WorkerDiedError, WorkerError, WorkerSilentError
from workspace_rl.machine.channel import Channel, wait_for_any
from workspace_rl.machine.interrupts import stop_if_requested
from workspace_rl.machine.processes import end_group

#: Seconds that a worker gets to finish its step and close what it has opened, before it is killed.
GRACE = 5.0
#: Seconds after which somebody who waits looks whether workers are still there.
_LOOK = 0.5
#: Imports nothing of the program: a script without `if __name__ == "__main__":` is not run once more, and what it has
#: defined comes by value.
_BEGIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from workspace_rl.machine.worker_loop import work; work(int(sys.argv[1]))"
)


class WorkerProcess:
    """An object that lives in a process of its own on this machine: `call` one of its methods, then take the `result`.

    The object is made there, by a function that is sent by value (cloudpickle), as are arguments and results: classes
    and functions of a script or a notebook are known there. Calls are answered in their order, and never wait; neither
    does a worker that is slow, stopped or dead hold up who calls it. The process has this one's paths, environment
    variables, working directory and settings of torch. It hears no ctrl-C, and ends with the process that started it.

    An object that has a method `close` is closed at the end. What it does may be long: between two steps of an
    environment (`stop_if_requested`) it says that it is alive, and ends if nobody waits any more.
    """

    def __init__(self, make: Callable[[], Any], name: str) -> None:
        """Say what shall live in the process, which `start` starts.

        Args:
            make: called there; returns the object.
            name: of the process, in messages.

        Raises:
            WorkerError: `make` cannot be sent to another process.
        """
        self.name = name
        self._make = sendable(make, f"what {name} is made from")
        self._channel: Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._heard_at = 0.0
        #: Calls whose results have not been taken.
        self.n_calls = 0
        #: Whether the object is there: before, the process imports what it needs, which takes seconds or more.
        self.has_begun = False

    @property
    def pid(self) -> int | None:
        """The process's number, None before it is started and after `close`."""
        return None if self._process is None else self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return not self._has_exited()

    def start(self) -> None:
        """Start the process; nothing is waited for. What `make` raises there, the first result does."""
        near, far = socket.socketpair()
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BEGIN, str(far.fileno()), json.dumps(sys.path), self.name],
                stdin=subprocess.DEVNULL,
                pass_fds=(far.fileno(),),
                process_group=0,  # from the beginning: ctrl-C in a terminal is for its foreground group
            )
        self._channel = Channel(near)
        self._end = weakref.finalize(self, _end, self._process, self._channel, 0.0, os.getpid())
        self._channel.send(cloudpickle.dumps((torch_settings(), self._make)))
        self.n_calls, self.has_begun, self._heard_at = 0, False, time.monotonic()

    def call(self, method: str, *args: Any) -> None:
        """Ask the object to do something, after what it was asked before.

        Raises:
            WorkerError: an argument cannot be sent to another process.
        """
        if self._channel is None:
            raise WorkerError(f"{self.name} is not running: start it first.")
        message = sendable((method, args), f"what {self.name} is given for {method}")
        if not self.n_calls:
            self._heard_at = time.monotonic()
        self._channel.send(message)
        self.n_calls += 1

    def poll(self) -> bool:
        """Return whether the next `result` is there, be it a failure; nothing is waited for."""
        if self._channel is None:
            return False
        self._channel.exchange()
        if not self._channel.messages and not self._channel.ended and self._has_exited():
            self._channel.exchange()  # what it said last
            self._channel.ended = True  # though processes that it has left behind may hold the other end
        while self._channel.messages and not self._channel.messages[0]:  # a sign of life
            self._channel.messages.popleft()
            self.has_begun, self._heard_at = True, time.monotonic()
        return bool(self._channel.messages) or self._channel.ended

    @property
    def silent_for(self) -> float:
        """Seconds since the worker has been heard of last, while it owes a result; 0 if it owes none."""
        return time.monotonic() - self._heard_at if self.n_calls and not self.poll() else 0.0

    def result(self, timeout: float | None = None) -> Any:
        """Return the result of the earliest call whose result was not taken, or raise what it has raised.

        Args:
            timeout: seconds for which the worker may say nothing, neither a result nor that it is alive.

        Raises:
            WorkerDiedError: the process has ended.
            WorkerSilentError: it was not heard of for so long.
            Stopped: ctrl-C or SIGTERM has asked for the end, where a `StopRequest` listens.
            WorkerError: the method raised what cannot be sent; every other exception is raised as it is, caused by a
                `WorkerError` that says where in the worker it came from.
        """
        if not self.n_calls:
            raise WorkerError(f"{self.name} owes no result: call something first.")
        while not self.poll():
            if timeout is not None and self.silent_for > timeout:
                raise WorkerSilentError(f"{self.name} was not heard of for {timeout:g} seconds.")
            wait_for([self], _LOOK)
        assert self._channel is not None
        if not self._channel.messages:
            raise self._died()
        self._heard_at = time.monotonic()
        self.n_calls -= 1
        outcome, error, trace = cloudpickle.loads(self._channel.messages.popleft())
        if trace is None:
            return outcome
        cause = WorkerError(f"this happened in {self.name}:\n{trace}")
        if error is None:
            raise cause
        raise error from cause

    def restart(self) -> None:
        """End the process at once, and start another one; results that were not taken are lost."""
        self.close(grace=0.0)
        self.start()

    def close(self, grace: float = GRACE) -> None:
        """End the process, after at most `grace` seconds; results that were not taken are lost."""
        if self._process is not None:
            self._end.detach()
            assert self._channel is not None
            _end(self._process, self._channel, grace, os.getpid())
        self._process = self._channel = None
        self.n_calls = 0

    def _has_exited(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _died(self) -> WorkerDiedError:
        assert self._process is not None
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return WorkerDiedError(f"{self.name} (process {self.pid}) has closed its connection.")
        how = f"with exit code {code}"
        if code < 0:
            how = f"by signal {-code} ({signal.strsignal(-code)})"
        return WorkerDiedError(
            f"{self.name} (process {self.pid}) ended {how}. A crash of a simulator, too little memory, or a call of "
            "os._exit does that; whatever it has said stands above.",
            exit_code=code,
        )


def wait_for(workers: Sequence[WorkerProcess], timeout: float | None = None) -> list[WorkerProcess]:
    """Return those whose next result is there, be it a failure; wait for the first one, so many seconds at most.

    Raises:
        Stopped: ctrl-C or SIGTERM has asked for the end, where a `StopRequest` listens.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        found = [worker for worker in workers if worker.poll()]
        rest = _LOOK if deadline is None else min(_LOOK, deadline - time.monotonic())
        if found or rest <= 0:
            return found
        stop_if_requested()
        wait_for_any((worker._channel for worker in workers if worker._channel is not None), rest)


def close_all(workers: Sequence[WorkerProcess], grace: float = GRACE) -> None:
    """End processes, all at once, after at most `grace` seconds."""
    for worker in workers:
        if worker._channel is not None:
            worker._channel.close()
    deadline = time.monotonic() + grace
    for worker in workers:
        worker.close(max(0.0, deadline - time.monotonic()))


def torch_settings() -> dict[str, Any]:
    """Return what decides how torch computes in this process."""
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "matmul": torch.get_float32_matmul_precision(),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
    }


def sendable(thing: Any, what: str) -> bytes:
    """Return something as it is sent to another process.

    Raises:
        WorkerError: it cannot be sent; the message begins with `what` it is.
    """
    try:
        return bytes(cloudpickle.dumps(thing))
    except Exception as error:  # whatever objects of the user's own raise
        raise WorkerError(
            f"{what} cannot be sent to another process: {type(error).__name__}: {error}. Open files, connections and "
            "the like are made where they are used, in a constructor."
        ) from error


def _end(process: subprocess.Popen[bytes], channel: Channel, grace: float, owner: int) -> None:
    channel.close()
    if os.getpid() != owner:  # a copy in a process that was forked meanwhile
        return
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    end_group(process.pid)
