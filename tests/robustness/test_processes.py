"""Environments in processes of their own may start processes; when they end, however that is, nothing of them stays."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from workspace_rl import GymAgent
from workspace_rl.errors import CompositionError

PROGRAM = r'''
import multiprocessing, os, subprocess, sys, time
import gymnasium as gym, numpy as np
from workspace_rl import GymAgent, Workspace

class Starter(gym.Env):
    """Starts a process at its reset, in one of two ways, and never ends it."""
    observation_space = gym.spaces.Box(-9, 9, (1,), np.float32); action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    def reset(self, *, seed=None, options=None):
        process = multiprocessing.Process(target=time.sleep, args=(600,)); process.start()
        other = subprocess.Popen(["sleep", "600"])
        os.write(1, b"child %d\nchild %d\n" % (process.pid, other.pid))
        return np.zeros(1, np.float32), {}
    def step(self, action):
        if HANGS: time.sleep(600)
        return np.zeros(1, np.float32), 0.0, False, False, {}

HANGS = "hangs" in sys.argv
agent = GymAgent(Starter, 2, vectorization="async")
print(*("worker %d" % one.pid for one in agent.vector_env.processes), sep="\n", flush=True)
workspace = Workspace(); agent(workspace, t=0)
print("ready", flush=True)
if "close" in sys.argv: agent.close(); time.sleep(600)
if "end" in sys.argv: sys.exit(3)
if "hangs" in sys.argv:
    import torch
    workspace.set("action", 0, torch.zeros(2, 1)); agent(workspace, t=1)
time.sleep(600)
'''


def exists(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", ["close", "end", "killed", "killed hangs", "interrupted"])
def test_nothing_stays(how, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program), *how.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        pids = []
        for line in process.stdout:
            if line.strip() == "ready":
                break
            pids.append(int(line.split()[1]))
        assert len(pids) == 2 + 4 and (how in ("close", "end") or all(map(exists, pids)))
        if how.startswith("killed"):
            process.kill()
        elif how == "interrupted":
            process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 40
        while any(map(exists, pids)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(exists, pids))
        if how == "end":
            assert process.wait(20) == 3
        process.kill()


def test_a_missing_guard_is_called_so(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing; multiprocessing.set_start_method('spawn', force=True)\n"
        "from workspace_rl import GymAgent\n"
        "agent = GymAgent('CartPole-v1', 1, vectorization='async')\n"
        "print('made'); agent.close()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 1 and "made" not in ran.stdout
    last = ran.stderr.strip().splitlines()[-1]
    assert 'if __name__ == "__main__"' in last and "crash" not in last
    # The advice works.
    lines = program.read_text().splitlines()
    program.write_text("\n".join([*lines[:2], "if __name__ == '__main__':", *("    " + one for one in lines[2:])]))
    ran = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, env=environment, check=False)
    assert ran.stdout == "made\n", ran.stderr


def make_environments():
    agent = GymAgent("CartPole-v1", 1, vectorization="async")
    agent.close()
    return agent.n_envs


def test_where_no_processes_may_be_started_the_advice_works():
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool, pytest.raises(CompositionError, match="a daemon.*ProcessPoolExecutor"):
        pool.apply(make_environments)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(make_environments).result(60) == 1
