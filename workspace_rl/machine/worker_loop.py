"""What runs in a worker process: an object is made, and its methods are called."""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import cloudpickle
import torch

from workspace_rl.machine.channel import Channel
from workspace_rl.machine.interrupts import Stopped, StopRequest
from workspace_rl.machine.processes import own_group

#: Seconds between two signs of life, and between two looks whether anybody waits.
PULSE = 0.2


def work(descriptor: int) -> None:
    """Answer what comes over a socket until its other end is closed; then end the process."""
    channel = Channel(socket.socket(fileno=descriptor))
    with own_group(), _Listening(channel), contextlib.suppress(Stopped):
        channel.wait()
        if channel.messages:
            settings, make = cloudpickle.loads(channel.messages.popleft())
            apply_settings(settings)
            target = _Target(make)
            channel.send(b"")  # it has begun
            try:
                _answer_calls(channel, target)
            finally:
                target.close()
    # Taking the interpreter apart with all that torch has put in it takes a quarter of the time of a start.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class _Target:
    """The object; if it could not be made, each call raises what that raised."""

    def __init__(self, make: bytes) -> None:
        self._object: Any = None
        self._failure: tuple[Any, Any, str] | None = None
        try:
            self._object = cloudpickle.loads(make)()
        except (Exception, SystemExit) as error:
            self._failure = (None, error, traceback.format_exc())

    def outcome(self, message: memoryview) -> tuple[Any, BaseException | None, str | None]:
        if self._failure is not None:
            return self._failure
        try:
            method, args = cloudpickle.loads(message)
            return getattr(self._object, method)(*args), None, None
        except (Exception, SystemExit) as error:
            return None, error, traceback.format_exc()

    def close(self) -> None:
        close = getattr(self._object, "close", None)
        if close is not None:
            close()


def _answer_calls(channel: Channel, target: _Target) -> None:
    while True:
        channel.wait()
        if channel.ended:
            return
        channel.send(_sent(*target.outcome(channel.messages.popleft())))
        channel.wait(sent=True)


def _sent(outcome: Any, error: BaseException | None, trace: str | None) -> bytes:
    try:
        message: bytes = cloudpickle.dumps((outcome, error, trace))
        if error is not None:
            cloudpickle.loads(message)  # some exceptions can be written, but not read
        return message
    except Exception as unsendable:
        if trace is None:
            return _sent(None, unsendable, traceback.format_exc())
        return bytes(cloudpickle.dumps((None, None, trace)))


class _Listening(StopRequest):
    """Says between two steps that the worker is alive, and ends what it does if nobody waits any more."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self._next = channel, 0.0
        super().__init__()

    @property
    def requested(self) -> bool:
        """Whether nobody waits any more."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PULSE
            self._channel.send(b"")
            self._channel.exchange()
        return self._channel.ended

    @requested.setter
    def requested(self, value: bool) -> None:
        pass  # signals are not listened to

    def __enter__(self) -> Self:
        StopRequest._innermost = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        StopRequest._innermost = None


def apply_settings(settings: Mapping[str, Any]) -> None:
    """Let torch compute here as it does where `torch_settings` said how."""
    torch.set_num_threads(settings["threads"])
    torch.set_default_dtype(settings["dtype"])
    torch.set_float32_matmul_precision(settings["matmul"])
    deterministic, warn_only = settings["deterministic"]
    torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
