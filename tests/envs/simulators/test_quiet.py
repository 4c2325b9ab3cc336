"""Tests of the silence around native libraries."""

import ctypes
import os
import sys
import threading

import pytest

from workspace_rl.envs.simulators.quiet import quiet_native_output


def test_native_output_is_discarded_and_the_rest_kept(capfd: pytest.CaptureFixture[str]) -> None:
    library = ctypes.CDLL(None)
    library.printf(b"before, in C\n")
    print("before, in Python")
    with quiet_native_output():
        # Buffered by the C library, to be written some time later.
        library.printf(b"noise")
        os.write(2, b"noise")
        with quiet_native_output():
            library.printf(b"noise")
        library.printf(b"noise")
    library.printf(b"after, in C\n")
    library.fflush(None)
    print("after, in Python")
    output, errors = capfd.readouterr()
    assert sorted(output.splitlines()) == ["after, in C", "after, in Python", "before, in C", "before, in Python"]
    assert errors == ""


def test_descriptors_are_restored_after_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), quiet_native_output():
        raise KeyError
    os.write(1, b"out")
    os.write(2, b"err")
    assert capfd.readouterr() == ("out", "err")


def test_quiet_works_where_the_streams_are_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        def write(self, text: str) -> int:
            return len(text)

    for stream in (None, Stream()):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        with quiet_native_output():
            os.write(1, b"noise")


def test_overlapping_blocks_of_threads_restore_the_descriptors(capfd: pytest.CaptureFixture[str]) -> None:
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    def make_noise() -> None:
        for _ in range(50):
            with quiet_native_output():
                os.write(1, b"noise")

    threads = [threading.Thread(target=make_noise) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(1, b"kept")
    assert capfd.readouterr().out == "kept"
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors
