"""Checkpoints on disk: what a run needs in order to go on as if it had never been stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from workspace_rl.errors import CheckpointError, RunFolderError
from workspace_rl.experience.experience import Experience
from workspace_rl.machine.files import absolute, inside, write_bytes

#: How many checkpoints are kept.
KEPT = 2
_MANIFEST = re.compile(r"checkpoint-(\d+)\.json")
_STATE = re.compile(r"state-(\d+)\.safetensors")
#: Put before the names of tensors that an experience describes itself by.
_EXPERIENCE = "experience/"
_LONGEST_MANIFEST = 50_000_000
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files have all been found whole."""

    step: int
    #: Plain data.
    state: dict[str, Any]
    tensors: dict[str, Tensor]
    #: Copies of files of the run, by their path within it.
    copies: dict[str, bytes]
    #: What was wrong with newer checkpoints.
    skipped: list[str]
    _folder: Path
    _rows: list[tuple[str, int]]

    def rows(self) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield the rows of the experience, piece after piece, as `Experience.restore` takes them."""
        for name, start in self._rows:
            yield start, load((self._folder / name).read_bytes())


class Checkpoints:
    """The checkpoints of a run, in a folder of their own.

    A checkpoint is its manifest, `checkpoint-STEP.json`: counters and other plain data, and the names, sizes and
    SHA-256 checksums of the files that belong to it. It is written last, so that a checkpoint is there as a whole or
    not at all. Rows of the experience are written once: later checkpoints name the files of earlier ones. Files that
    none of the last two checkpoints names are deleted.
    """

    def __init__(self, folder: str | Path) -> None:
        """Use `folder`, which is created with the first checkpoint."""
        self.folder = absolute(folder)
        self._files: dict[str, dict[str, Any]] = {}  # of the newest checkpoint: name -> size and checksum
        self._rows: list[tuple[str, int]] = []  # names and first rows of its pieces of the replay buffer
        self._n_rows = 0
        #: The step of the newest checkpoint, as far as this object has saved or read it.
        self.step: int | None = None

    def save(
        self,
        step: int,
        state: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        experience: Experience,
        copies: Mapping[str, Path],
    ) -> None:
        """Write the checkpoint of `step`, then delete what only older ones than the last two need.

        Args:
            step: the number of steps so far.
            state: plain data.
            tensors: on the CPU, no two in the same memory.
            experience: its rows since the last checkpoint are written, and tensors by which it describes itself.
            copies: files to keep copies of, by their path within the run.

        Raises:
            RunFolderError: a file cannot be written; earlier checkpoints are whole.
        """
        stored = experience.rows
        rows = [(name, start) for name, start in self._rows if self._stop(name) > stored.start]
        files = {name: self._files[name] for name, _ in rows}
        start = max(stored.start, self._n_rows)
        if start < stored.stop:
            name = f"rows-{start:012d}-{stored.stop:012d}.safetensors"
            files[name] = self._write(name, save(experience.read_rows(start, stored.stop)))
            rows.append((name, start))
        name = f"state-{step}.safetensors"
        described = experience.describe()
        kept = {_EXPERIENCE + key: one for key, one in described.items() if isinstance(one, Tensor)}
        files[name] = self._write(name, save({**tensors, **kept}))
        copied = {}
        for path, source in copies.items():
            copied[path] = f"copy-{step}-{path.replace('/', '-')}"
            files[copied[path]] = self._write(copied[path], source.read_bytes())
        manifest = {
            "step": step,
            "state": {**state, "buffer": {key: one for key, one in described.items() if not isinstance(one, Tensor)}},
            "tensors": name,
            "rows": rows,
            "copies": copied,
            "files": files,
        }
        text = json.dumps({**manifest, "checksum": _checksum(manifest)}, indent=1)
        write_bytes(self.folder / f"checkpoint-{step}.json", text.encode())
        self._files, self._rows, self._n_rows, self.step = files, rows, stored.stop, step
        self._forget_older(step, files)

    def newest(self, latest: float = math.inf) -> Checkpoint | None:
        """Return the newest checkpoint whose files are whole, at step `latest` at most; None if there has been none.

        Raises:
            CheckpointError: there are checkpoints, but each of them is damaged.
        """
        known = self.steps()
        steps = [step for step in known if step <= latest]
        begun = sorted(self._steps_of(_STATE) - set(known))
        skipped = [
            f"the checkpoint of step {step:,} is not used: its manifest, checkpoint-{step}.json, is missing, as when "
            "the run is stopped while it writes one."
            for step in begun
            if step > max(known, default=0)
        ]
        if not steps and (known or len(begun) <= 1):
            return None
        for step in reversed(steps):
            try:
                manifest = self._read_manifest(step)
                tensors = load(self._read(manifest, manifest["tensors"]))
                for key in [key for key in tensors if key.startswith(_EXPERIENCE)]:
                    manifest["state"]["buffer"][key.removeprefix(_EXPERIENCE)] = tensors.pop(key)
                copies = {path: self._read(manifest, name) for path, name in manifest["copies"].items()}
                for name, _ in manifest["rows"]:
                    self._read(manifest, name)
                rows = [(str(name), int(start)) for name, start in manifest["rows"]]
                n_rows = max((self._stop(name) for name, _ in rows), default=0)
            except (CheckpointError, RunFolderError, SafetensorError, OSError) as error:
                skipped.append(f"the checkpoint of step {step:,} is damaged and not used: {error}")
                continue
            except (ValueError, KeyError, TypeError, AttributeError) as error:  # written by somebody else
                skipped.append(f"the checkpoint of step {step:,} cannot be read: {type(error).__name__}: {error}")
                continue
            self._files, self._rows, self._n_rows, self.step = manifest["files"], rows, n_rows, step
            return Checkpoint(step, manifest["state"], tensors, copies, skipped, self.folder, self._rows)
        raise CheckpointError(
            "no checkpoint of the run is whole, so it cannot be resumed:\n  " + "\n  ".join(skipped) + "\nIts "
            "policies, 'best' and 'latest', are files of their own. Train again from its config.yaml, into another "
            "base_dir."
        )

    def steps(self) -> list[int]:
        """Return the steps of which there are checkpoints, damaged ones among them."""
        return sorted(self._steps_of(_MANIFEST))

    def _steps_of(self, name: re.Pattern[str]) -> set[int]:
        files = self.folder.iterdir() if self.folder.is_dir() else ()
        return {int(match[1]) for match in (name.fullmatch(one.name) for one in files) if match}

    @staticmethod
    def _stop(rows_file: str) -> int:
        return int(rows_file.removesuffix(".safetensors").rpartition("-")[2])

    def _write(self, name: str, content: bytes) -> dict[str, Any]:
        write_bytes(self.folder / name, content)
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def _read_manifest(self, step: int) -> dict[str, Any]:
        path = inside(self.folder, f"checkpoint-{step}.json")
        if not path.is_file() or path.stat().st_size > _LONGEST_MANIFEST:
            raise CheckpointError(f"{path} is no file, or longer than {_LONGEST_MANIFEST:,} bytes.")
        try:
            manifest = json.loads(path.read_bytes().decode())
            checksum = manifest.pop("checksum")
            if checksum != _checksum(manifest) or manifest["step"] != step:
                raise CheckpointError(f"{path}: its checksum is wrong.")
            if not all(_FILE.fullmatch(name) for name in manifest["files"]):
                raise CheckpointError(f"{path} names files outside of its folder.")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"{path} is no manifest of a checkpoint ({type(error).__name__}: {error})."
            ) from error
        found: dict[str, Any] = manifest
        return found

    def _read(self, manifest: Mapping[str, Any], name: str) -> bytes:
        """Return the content of a file that the manifest names, if it is what was written."""
        path = inside(self.folder, name)
        expected = manifest["files"][name]
        if not path.is_file():
            raise CheckpointError(f"{path} is missing.")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise CheckpointError(f"{path} has {size} bytes, {expected['bytes']} were written.")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != expected["sha256"]:
            raise CheckpointError(f"{path}: its checksum is wrong.")
        return content

    def _forget_older(self, newest: int, newest_files: Mapping[str, Any]) -> None:
        """Delete what the last checkpoints do not need, unfinished files of a process that was killed among it."""
        # Those of later steps were damaged, or the run would have gone on from them.
        steps = [step for step in self.steps() if step <= newest]
        needed = {f"checkpoint-{step}.json" for step in steps[-KEPT:]} | set(newest_files)
        for step in steps[-KEPT:-1]:
            with contextlib.suppress(CheckpointError, RunFolderError):
                needed |= set(self._read_manifest(step)["files"])
        # Manifests first: a checkpoint must never miss a file.
        for path in sorted(self.folder.iterdir(), key=lambda one: not _MANIFEST.fullmatch(one.name)):
            if path.name not in needed:
                with contextlib.suppress(OSError):
                    path.unlink()


def _checksum(manifest: Mapping[str, Any]) -> str:
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
