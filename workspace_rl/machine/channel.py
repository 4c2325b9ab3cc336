"""Whole messages between two processes, over a socket that nobody need wait for."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable

_LENGTH = struct.Struct("!Q")


class Channel:
    """One end of a pair of sockets, by which two processes send each other messages of bytes.

    `send` never waits: what the other end does not take yet is kept, and sent on whenever this end looks what there is
    (`exchange`, `wait`). So one that is slow, stopped or dead holds nobody up.
    """

    def __init__(self, end: socket.socket) -> None:
        """Talk over `end`, which belongs to the channel from now on."""
        end.setblocking(False)
        self._socket = end
        self._outgoing: deque[memoryview] = deque()
        self._length_is_next, self._filled = True, 0
        self._incoming = memoryview(bytearray(_LENGTH.size))
        #: What has come and nobody has taken.
        self.messages: deque[memoryview] = deque()
        #: Whether the other end is gone: nothing comes after `messages`.
        self.ended = False

    def fileno(self) -> int:
        """Return the file descriptor, for `select`."""
        return self._socket.fileno()

    @property
    def is_sending(self) -> bool:
        """Whether the other end has still to take something."""
        return bool(self._outgoing) and not self.ended

    def send(self, message: bytes) -> None:
        """Send a message; nothing happens if the other end is gone."""
        self._outgoing += [memoryview(_LENGTH.pack(len(message))), memoryview(message)]
        self._write()

    def exchange(self) -> None:
        """Send on and take in what can be without waiting."""
        self._write()
        self._read()

    def wait(self, timeout: float | None = None, *, sent: bool = False) -> None:
        """Wait until there is a message, or, with `sent`, until the other end has taken all; or until it is gone."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self.exchange()
        while not self.ended and (self.is_sending if sent else not self.messages):
            rest = None if deadline is None else deadline - time.monotonic()
            if rest is not None and rest <= 0:
                return
            wait_for_any([self], rest)
            self.exchange()

    def close(self) -> None:
        """Close this end; the other one finds it gone."""
        self._socket.close()
        self.ended = True
        self._outgoing.clear()

    def _write(self) -> None:
        while self._outgoing and not self.ended:
            try:
                n = self._socket.send(self._outgoing[0])
            except BlockingIOError:
                return
            except OSError:  # what it has said before can still be read
                self._outgoing.clear()
                return
            self._outgoing[0] = self._outgoing[0][n:]
            if not self._outgoing[0]:
                self._outgoing.popleft()

    def _read(self) -> None:
        while not self.ended:
            try:
                n = self._socket.recv_into(self._incoming[self._filled :])
            except BlockingIOError:
                return
            except OSError:
                n = 0
            if n == 0:
                self.ended = True
                return
            self._filled += n
            if self._filled == len(self._incoming):
                self._take_in()

    def _take_in(self) -> None:
        """Go on with what follows a length, or a message: the other one of the two."""
        length = _LENGTH.unpack(self._incoming)[0] if self._length_is_next else 0
        if not length:
            self.messages.append(memoryview(b"") if self._length_is_next else self._incoming)
        self._length_is_next = not length
        self._incoming, self._filled = memoryview(bytearray(length or _LENGTH.size)), 0


def wait_for_any(channels: Iterable[Channel], timeout: float | None) -> None:
    """Wait until something can be sent on or taken in by one of the channels, so many seconds at most."""
    poll = select.poll()
    for channel in channels:
        poll.register(channel, select.POLLIN | (select.POLLOUT if channel.is_sending else 0))
    poll.poll(None if timeout is None else 1000 * timeout)
