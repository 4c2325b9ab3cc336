"""What a program does while it is watched: whether it runs anything, changes a file, or does not come back."""

import contextlib
import os
import signal
import sys

#: Things that opening a file must not lead to (https://docs.python.org/3/library/audit_events.html).
FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn", "subprocess.Popen",
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.chmod", "os.truncate", "os.kill",
    "shutil.", "socket.", "pickle.find_class", "marshal.load", "webbrowser.open", "urllib.Request", "tempfile.",
)  # fmt: skip

#: A module that is where Python looks for modules, and that nobody should import.
CANARY = "canary_of_the_tests"

_watching = False
_seen: list[str] = []


def _note(event, args):
    if not _watching:
        return
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event.startswith(FORBIDDEN):
        _seen.append(f"{event} {args!r}"[:300])


sys.addaudithook(_note)


class Hang(Exception):
    """It takes too long."""


def _too_long(signum, frame):
    raise Hang


@contextlib.contextmanager
def watched(seconds=20):
    """Yield the list of what happens that must not; raise `Hang` after so many seconds."""
    global _watching
    _seen.clear()
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    _watching = True
    try:
        yield _seen
    finally:
        _watching = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if sys.modules.pop(CANARY, None) is not None:
            _seen.append(f"import of {CANARY}")
