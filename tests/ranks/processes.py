"""Several ranks for a test: processes that torchrun might have started."""

import multiprocessing
import os
import pickle
import socket
import traceback
from pathlib import Path

import pytest


def on_ranks(function, *arguments, size=2, timeout=240):
    """Return what `function(*arguments)` returns on each rank, or the exception that it ends with."""
    context = multiprocessing.get_context("spawn")
    port = _free_port()
    pipes, processes = [], []
    for rank in range(size):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=_run, args=(theirs, rank, size, port, function, arguments)))
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(Path(__file__).parents[2])
            processes[-1].start()
        theirs.close()
        pipes.append(ours)
    try:
        return [_received(one, timeout) for one in pipes]
    finally:
        for one in processes:
            one.join(10)
            one.kill()


def values(results):
    """Return results that are no exceptions."""
    for one in results:
        if isinstance(one, BaseException):
            raise one
    return results


def as_rank(monkeypatch, rank=0, size=1):
    """Let this process be a rank, as torchrun would say it; with a size of 1 it meets itself."""
    for name, value in _environment(rank, size, _free_port()).items():
        monkeypatch.setenv(name, value)


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _environment(rank, size, port):
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in names.items()}


def _received(pipe, timeout):
    if not pipe.poll(timeout):
        return TimeoutError(f"no answer within {timeout} s")
    try:
        return pickle.loads(pipe.recv_bytes())
    except EOFError:
        return EOFError("ended without an answer")


def _run(pipe, rank, size, port, function, arguments):
    os.environ.update(_environment(rank, size, port))
    import torch

    torch.set_num_threads(1)
    try:
        result = pickle.loads(pickle.dumps(function(*arguments)))
    except BaseException as error:  # whatever it is, the test looks at it
        result = error
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            result = RuntimeError("".join(traceback.format_exception(error)))
    pipe.send_bytes(pickle.dumps(result))
    pipe.close()
