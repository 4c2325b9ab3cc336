"""Collectors in processes of their own do what they do in the learner's, and whatever happens to them is told."""

import itertools
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from tests.collectors.rounds import KINDS, collected, recipe, rounds
from workspace_rl.collectors.places import local_processes
from workspace_rl.collectors.places.hosted import NICENESS
from workspace_rl.collectors.places.in_process import InProcess
from workspace_rl.collectors.places.local_processes import LocalProcesses
from workspace_rl.errors import CollectorError

#: Other environments in each test, since processes are shared.
begins = itertools.count(1000, 1000)


def in_process(n, **options):
    place = InProcess()
    place.start([recipe(number) for number in range(n)])
    return rounds(place, n, **options)


@pytest.fixture(scope="module")
def four():
    place = LocalProcesses()
    place.start([recipe(number, timeout=2.0) for number in range(4)])
    yield place
    pids = [worker.pid for worker in place._workers]
    place.close()
    assert place.alive() == 0 and not any(map(is_running, pids))


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_fragments_are_those_of_collectors_in_the_learners_process(n, lag, four):
    begin = next(begins)
    assert rounds(four, n, lag=lag, begin=begin) == in_process(n, lag=lag, begin=begin)
    assert four.alive() == 4
    assert four.where(1) == f"process {four._workers[1].pid}"


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="processes have no niceness here")
def test_where_processors_are_scarce_the_learner_comes_first(four):
    rounds(four, 4, begin=next(begins))
    learner = os.getpriority(os.PRIO_PROCESS, 0)
    assert all(os.getpriority(os.PRIO_PROCESS, worker.pid) >= max(learner, NICENESS) for worker in four._workers)


def test_fragments_of_every_kind_are_those_of_the_learners_process():
    recipes = [recipe(number, **make()) for number, make in enumerate(KINDS.values())]
    here, there = InProcess(), LocalProcesses()
    here.start(recipes), there.start(recipes)
    assert collected(there, recipes, range(6)) == collected(here, recipes, range(6))
    here.close(), there.close()


@pytest.mark.parametrize("lag", [0, 1])
def test_killed_ones_are_rebuilt_bit_for_bit(lag, four):
    begin, rng = next(begins), random.Random(lag)

    def kill(driver, index):
        if index in (2, 5):
            for number in rng.sample(range(2), 1 + (index == 2 and lag == 0)):
                pid = four._workers[number].pid
                threading.Timer(rng.uniform(0, 0.02), os.kill, (pid, signal.SIGKILL)).start()
                wait_until(lambda pid=pid: index == 2 or not is_running(pid))  # after a renewal while it is idle

    with pytest.warns(UserWarning, match=r"\(process \d+\) failed at its fragment .* ended by signal 9 \(Killed\)"):
        found = rounds(four, 2, lag=lag, begin=begin, n_rounds=8, before_round=kill)
    assert found == in_process(2, lag=lag, begin=begin, n_rounds=8)


def test_one_that_stands_still_is_killed_and_rebuilt(four, monkeypatch):
    begin = next(begins)
    monkeypatch.setattr(local_processes, "_LOOK", 0.0)

    def stop(driver, index):
        if index == 3:
            os.kill(four._workers[0].pid, signal.SIGSTOP)
            monkeypatch.setattr(four, "_limit", 0.5)
            monkeypatch.setattr(four, "restart", restart)

    def restart(collector):
        monkeypatch.setattr(four, "_limit", 120.0)  # to begin takes longer
        LocalProcesses.restart(four, collector)

    with pytest.warns(UserWarning, match="was not heard of for 0.5 seconds, though"):
        found = rounds(four, 1, begin=begin, before_round=stop)
    assert found == in_process(1, begin=begin)


def alone(**options):
    """Return the places, started, of one collector that fails in some way."""
    place = LocalProcesses()
    place.start([recipe(**options)])
    return place


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("exit", r"fragment 2 and is started again: collector 0 \(process \d+\) ended with exit code 3\."),
        ("raise", "fragment 2 and is started again: EnvironmentFailedError: .*the simulator is out of order"),
        ("hang", "EnvironmentTimeoutError: .*environment 0 of 2.* took longer than 0.5 seconds .gym_env.timeout"),
        ("hang deaf", r"process \d+ has ended itself, since its environments hang; where stands above"),
    ],
)
def test_what_happens_once_is_told_and_changes_nothing(what, message, tmp_path, capfd):
    place = alone(what=what, at=10, folder=str(tmp_path), timeout=0.5)
    with pytest.warns(UserWarning, match=message):
        found = rounds(place, 1)
    place.close()
    assert found == in_process(1)
    said = capfd.readouterr().err
    assert ("It hangs here" in said and "in happen" in said) == ("deaf" in what)


def test_what_cannot_be_made_ends_the_run_and_is_told(tmp_path):
    place = alone(what="raise forever make", folder=str(tmp_path))
    with pytest.warns(UserWarning, match="fragment 0 and is started again"):
        with pytest.raises(CollectorError) as told:
            rounds(place, 1)
    place.close()
    assert re.search(
        r"collector 0 \(process \d+; seed 7, fragment 0\) has failed twice in the same way: "
        r"EnvironmentFailedError: .*while it was made: it raised RuntimeError: the simulator is out of order",
        str(told.value),
    )
    assert "this happened in collector 0" in str(told.value) and "in happen" in str(told.value)


SCRIPT = """
    import sys
    import gymnasium as gym, numpy as np
    from workspace_rl.algos import SAC

    print("the script runs", flush=True)

    class OwnEnv(gym.Env):
        observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
        action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.np_random.random(3).astype(np.float32), {}

        def step(self, action):
            {STEP}
            return self.np_random.random(3).astype(np.float32), 0.0, False, False, {}

    class OwnWrapper(gym.Wrapper):
        pass

    class OwnSAC(SAC):
        def make_actor(self):
            return super().make_actor()

    gym.register("Own-v0", entry_point="__main__:OwnEnv", max_episode_steps=20)
    run = OwnSAC({
        "gym_env": {"env_name": "Own-v0", "wrappers": ["__main__.OwnWrapper"]},
        "algorithm": {"total_steps": 10_000, "n_envs": 1, "n_steps": 4, "learning_starts": 8, "batch_size": 8,
                      "nb_evals": 0, "architecture": {"actor_hidden_size": [8], "critic_hidden_size": [8]}},
        "collectors": {"n": 1, "where": "local"}, "record_best": False, "base_dir": sys.argv[1], "compile": False,
    })
    experience, collectors = run.make_parts()
    collectors.start()
    {BEGIN}
    fragments = collectors.collect(0)
    print(collectors._place._workers[0].pid, len(fragments), flush=True)
    {END}
"""


def script(path, step="pass", begin="", end="pass"):
    text = textwrap.dedent(SCRIPT).replace("{STEP}", step).replace("{BEGIN}", begin).replace("{END}", end)
    path.write_text(text)
    return [sys.executable, str(path), str(path.parent / "run")]


def test_a_script_of_ones_own_needs_no_guard_and_nothing_is_left_if_it_ends_without_closing(tmp_path):
    said = subprocess.run(script(tmp_path / "own.py"), capture_output=True, text=True, timeout=300)
    assert (said.returncode, said.stderr) == (0, "")
    first, second = said.stdout.splitlines()
    assert first == "the script runs" and second.endswith(" 1")
    wait_until(lambda: not is_running(int(second.split()[0])))


@pytest.mark.parametrize("moment", ["while it begins", "in a step", "while it is idle"])
def test_a_process_ends_with_the_learner_that_is_killed(moment, tmp_path):
    pid = "print(collectors._place._workers[0].pid, flush=True)"
    options = {
        "while it begins": {"begin": f"{pid}; import os; os.kill(os.getpid(), 9)"},
        "in a step": {
            "begin": pid,
            "step": f"import time; open({str(tmp_path / 'hangs')!r}, 'w').close(); time.sleep(1000)",
        },
        "while it is idle": {"end": "import os; os.kill(os.getpid(), 9)"},
    }[moment]
    command = script(tmp_path / "own.py", **options)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as learner:
        learner.stdout.readline()
        collector = int(learner.stdout.readline().split()[0])
        if moment == "in a step":
            wait_until((tmp_path / "hangs").exists)
            learner.kill()
        learner.wait(60)
    wait_until(lambda: not is_running(collector))
