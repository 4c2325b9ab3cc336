"""Files that appear whole or not at all, in folders that one process at a time writes."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, ClassVar

from workspace_rl.errors import RunFolderError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


def absolute(path: str | Path, *, used: bool = True) -> Path:
    """Return `path` from the root on, `~` replaced: an environment may change the working directory at any time.

    Args:
        path: of a file or a folder.
        used: False where perhaps nothing is ever looked for or written there, so that the system need not be able to
            name it.

    Raises:
        RunFolderError: it is no path, the system has no bytes for one of its characters, or it is relative and the
            working directory is gone.
    """
    try:
        if used:
            os.fsencode(path)
        return Path(path).expanduser().absolute()
    except UnicodeEncodeError as error:
        unknown = error.object[error.start]
        raise RunFolderError(
            f"{str(path)!a}: names of files are written in {error.encoding} here, which has no {unknown!a}. Choose "
            "another name, or set the environment variable PYTHONUTF8=1."
        ) from error
    except (TypeError, RuntimeError) as error:  # or `~` stands for nobody's home
        raise RunFolderError(f"the path of a file or folder expected, {path!r} found ({error}).") from error
    except OSError as error:
        raise RunFolderError(
            f"{str(path)!r} is relative, but the working directory does not exist any more. Change to another one, or "
            "give an absolute path."
        ) from error


def working_directory() -> str | None:
    """Return the working directory, None if it does not exist any more."""
    try:
        return os.getcwd()
    except OSError:
        return None


@contextlib.contextmanager
def back_home(home: str | None = None) -> Iterator[None]:
    """Let environments change the working directory within the block; afterwards it is `home`, or what it was."""
    home = home or working_directory()
    try:
        yield
    finally:
        if home is not None:
            with contextlib.suppress(OSError):  # it is gone
                os.chdir(home)


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what is written there takes the place of `path` when the block ends well.

    The content is flushed to the disk before it gets its name, so that a crash leaves the old file or the new one.

    Raises:
        RunFolderError: the file cannot be written.
    """
    path = absolute(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        with told_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
            _flush_folder(path.parent)
    finally:
        with contextlib.suppress(OSError, ValueError):  # ValueError: no path at all
            temporary.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        RunFolderError: the file cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        RunFolderError: the file cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def told_errors(path: str | Path) -> Iterator[None]:
    """Raise a `RunFolderError` that names `path` where the operating system refuses to write it."""
    if "\0" in str(path):
        raise RunFolderError(f"{str(path)!r} is no path: it holds a NUL character.")
    try:
        yield
    except RunFolderError:
        raise
    except UnicodeEncodeError as error:
        raise RunFolderError(f"{str(path)!a} cannot be written: {error}.") from error
    except OSError as error:
        raise RunFolderError(
            f"{path} cannot be written: {error.strerror or error}. What was written before is whole."
        ) from error


def inside(folder: str | Path, name: str) -> Path:
    """Return the path of the file `name` in `folder`, neither of which may lead elsewhere.

    Raises:
        RunFolderError: the name or a link leads out of the folder.
    """
    folder = Path(folder)
    path = folder / name
    if not is_inside(folder, path):
        raise RunFolderError(f"{path} leads out of {folder}; it is not read.")
    return path


def is_inside(folder: Path, path: Path) -> bool:
    """Return whether `path` lies in `folder` once all links are followed."""
    # Not Path.resolve, which gives up on links that lead to each other.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


class FolderLock:
    """Keeps other processes from writing a folder, until `release`, or nobody holds it, or this process ends."""

    # The operating system's locks do not hold within a process.
    _held: ClassVar[set[Path]] = set()

    def __init__(self, folder: str | Path) -> None:
        """Lock `folder`.

        Raises:
            RunFolderError: it is locked already.
        """
        path = Path(folder).resolve() / LOCK
        if path in self._held:
            raise RunFolderError(f"{folder} is being trained in already, by this process.")
        with told_errors(path):
            file = path.open("a+", encoding="utf-8")
        try:
            # Of this kind, since child processes (of environments) do not inherit it. Where there is none, as on
            # Windows, only this process is kept out.
            if fcntl is not None:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip()
            file.close()
            raise RunFolderError(
                f"{folder} is being trained in already, by process {owner}. Wait for it, or stop it first."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._held.add(path)
        self.release = weakref.finalize(self, self._release, file, path)

    @classmethod
    def _release(cls, file: IO[str], path: Path) -> None:
        file.close()
        cls._held.discard(path)


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
