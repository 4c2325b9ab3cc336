"""Processes that work for this one: calls are answered in order, and whatever goes wrong is told."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from workspace_rl.errors import CompositionError, DivergedError, WorkerDiedError, WorkerError, WorkerSilentError
from workspace_rl.machine.interrupts import Stopped, StopRequest, stop_if_requested
from workspace_rl.machine.worker_process import WorkerProcess, wait_for


class Office:
    """Does what is asked of workers in these tests."""

    def __init__(self, closed=None):
        self.counter, self.closed = 0, closed

    def reset(self):
        self.counter = 0

    def count(self, by=1):
        self.counter += by
        return self.counter

    def echo(self, thing):
        return thing

    def fail(self, error):
        raise error

    def fail_unsendably(self):
        raise Unsendable(1, 2)

    def unsendable(self):
        return (one for one in [1])

    def die(self, code):
        os._exit(code)

    def settings(self):
        return os.getpid(), torch.get_num_threads(), torch.get_default_dtype(), os.getcwd()

    def play(self, until):
        while not os.path.exists(until):
            stop_if_requested()
            time.sleep(0.01)

    def hang(self, begun=None):
        if begun:
            open(begun, "w").close()
        time.sleep(1000)

    def child(self):
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]).pid

    def close(self):
        if self.closed:
            open(self.closed, "w").close()


class Unsendable(Exception):
    def __init__(self, one, two):
        super().__init__("a text of its own")


def started(make=Office, name="the office"):
    worker = WorkerProcess(make, name)
    worker.start()
    return worker


@pytest.fixture(scope="module")
def shared():
    worker = WorkerProcess(Office, "the office")
    yield worker
    worker.close()


@pytest.fixture
def office(shared):
    """One that owes nothing: a process takes seconds to start, so it is started anew only if a test has broken it."""
    if shared.pid is None or shared.n_calls or shared.poll():
        shared.restart()
    shared.call("reset")
    shared.result(60)
    return shared


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_calls_are_answered_in_their_order_and_share_the_object(office):
    for by in (1, 10, 100):
        office.call("count", by)
    assert office.n_calls == 3
    assert [office.result(60) for _ in range(3)] == [1, 11, 111]
    assert office.n_calls == 0


def test_large_messages_of_several_calls_wait_for_nobody(office):
    os.kill(office.pid, signal.SIGSTOP)  # it takes nothing
    large = torch.arange(4_000_000, dtype=torch.float32)
    office.call("echo", large)
    office.call("echo", large + 1)
    assert not office.poll()
    os.kill(office.pid, signal.SIGCONT)
    assert torch.equal(office.result(60), large)
    assert torch.equal(office.result(60), large + 1)


def test_the_process_computes_as_this_one_does():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)
    try:
        worker = started()
    finally:
        torch.set_num_threads(before)
        torch.set_default_dtype(torch.float32)
    worker.call("settings")
    pid, *settings = worker.result(60)
    assert settings == [3, torch.float64, os.getcwd()] and pid == worker.pid != os.getpid()
    worker.close()


def test_exceptions_are_raised_here_as_they_are_there_and_say_where(office):
    office.call("fail", DivergedError("it has diverged", update=7))
    office.call("count")
    with pytest.raises(DivergedError, match="it has diverged") as told:
        office.result(60)
    assert told.value.update == 7
    assert "in fail" in str(told.value.__cause__) and "the office" in str(told.value.__cause__)
    assert office.result(60) == 1  # it goes on


def test_what_cannot_be_sent_is_told_with_its_text(office):
    office.call("fail_unsendably")
    with pytest.raises(WorkerError, match="a text of its own"):
        office.result(60)
    office.call("unsendable")
    with pytest.raises(TypeError, match="generator"):
        office.result(60)
    with pytest.raises(WorkerError, match="what the office is given for echo cannot be sent.*generator"):
        office.call("echo", (one for one in [1]))
    office.call("count")
    assert office.result(60) == 1


def test_what_making_the_object_raises_every_call_does():
    def make():
        raise CompositionError("nothing can be made")

    worker = started(make)
    for _ in range(2):
        worker.call("count")
        with pytest.raises(CompositionError, match="nothing can be made"):
            worker.result(60)
    worker.close()


def test_a_process_that_dies_is_told_and_started_again(office):
    office.call("count")
    office.call("die", 3)
    office.call("count")
    assert office.result(60) == 1  # said before
    with pytest.raises(WorkerDiedError, match="ended with exit code 3") as told:
        office.result(60)
    assert told.value.exit_code == 3
    office.restart()
    office.call("count")
    assert office.result(60) == 1  # by a new object
    office.call("hang")
    os.kill(office.pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="by signal 9") as told:
        office.result(60)
    assert told.value.exit_code == -9


def test_one_that_hangs_is_told_but_not_one_that_steps_on(office, tmp_path):
    until = tmp_path / "go"
    office.call("play", str(until))
    first = office._heard_at
    wait_until(lambda: not office.poll() and office._heard_at > first)  # it has said that it is alive
    until.touch()
    assert office.result(60) is None
    office.call("hang")
    with pytest.raises(WorkerSilentError, match="not heard of for 0.5 seconds"):
        office.result(0.5)


def test_whoever_waits_hears_ctrl_c(office):
    office.call("hang")
    with StopRequest():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):
            office.result()


def test_several_are_waited_for_together_and_end_in_the_middle_of_what_they_do(tmp_path):
    closed = tmp_path / "closed"
    workers = [started(lambda: Office(str(closed)), f"office {k}") for k in range(2)]
    for worker in workers:
        worker.call("child")
    children, pids = [worker.result(60) for worker in workers], [worker.pid for worker in workers]
    workers[0].call("hang", str(tmp_path / "begun"))
    wait_until((tmp_path / "begun").exists)
    workers[1].call("play", str(tmp_path / "go"))
    assert wait_for(workers, 0.0) == []
    (tmp_path / "go").touch()
    assert wait_for(workers, 60) == [workers[1]]
    assert workers[1].result() is None
    workers[1].call("play", str(tmp_path / "never"))
    first = workers[1]._heard_at
    wait_until(lambda: not workers[1].poll() and workers[1]._heard_at > first)
    workers[0].close(grace=0.1)
    assert not closed.exists()
    workers[1].close()
    assert closed.exists() and workers[1].pid is None
    assert not any(map(is_running, pids))
    wait_until(lambda: not any(map(is_running, children)))


def test_a_script_without_a_guard_may_start_one_and_its_classes_are_known_there(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            print("the script runs")
            from workspace_rl.machine.worker_process import WorkerProcess

            class Own:
                def answer(self):
                    return 42

            worker = WorkerProcess(Own, "worker")
            worker.start()
            worker.call("answer")
            print(worker.result(60), worker.pid)
            """  # neither closed nor ended
        )
    )
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=True)
    assert said.stderr == ""
    first, second = said.stdout.splitlines()
    assert first == "the script runs" and second.startswith("42 ")
    wait_until(lambda: not is_running(int(second.split()[1])))


def test_it_ends_with_whoever_started_it(tmp_path):
    script = (
        "import os, signal, sys; from workspace_rl.machine.worker_process import WorkerProcess\n"
        "class Own:\n    def hang(self):\n        import time; time.sleep(1000)\n"
        "worker = WorkerProcess(Own, 'worker'); worker.start(); worker.call('hang')\n"
        "print(worker.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    said = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=120)
    wait_until(lambda: not is_running(int(said.stdout)))
