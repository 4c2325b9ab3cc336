"""The command line under torchrun: two ranks train, are killed, and go on."""

import os
import signal
import subprocess
import sys
import time

import pytest

PARAMETERS = (
    "algorithm.n_envs=2",
    "algorithm.n_steps=4",
    "algorithm.total_steps=1200",
    "algorithm.learning_starts=200",
    "algorithm.checkpoint_interval=300",
    "algorithm.eval_interval=500",
    "algorithm.nb_evals=1",
    "algorithm.final_episodes=1",
    "algorithm.batch_size=16",
    "algorithm.architecture.actor_hidden_size=[8]",
    "algorithm.architecture.critic_hidden_size=[8]",
    "gym_env.max_episode_steps=50",
    "logger.log_interval=100",
    "logger.save_tensorboard=false",
    "record_best=false",
    "compile=false",
)


def start(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*command, "-m", "workspace_rl", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    return output


def ranks_of(process):
    """Return the processes that torchrun has started."""
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    with open(children, encoding="ascii") as file:
        return [int(one) for one in file.read().split()]


@pytest.mark.skipif(not os.path.exists(f"/proc/self/task/{os.getpid()}/children"), reason="not Linux")
def test_a_killed_training_goes_on_and_ends_with_the_same_bits(tmp_path):
    train = ("train", "sac/pendulum", *PARAMETERS)
    whole = start(*train, f"base_dir={tmp_path / 'whole'}")
    killed = start(*train, f"base_dir={tmp_path / 'killed'}")
    folder, deadline = tmp_path / "killed" / "checkpoints", time.monotonic() + 150
    while not list(folder.glob("checkpoint-*.json")):
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.005)
    for one in [killed.pid, *ranks_of(killed)]:
        os.kill(one, signal.SIGKILL)
    killed.communicate()
    output = finish(whole)
    assert output.count("trained for 1,2") == 1 and output.count("final score") == 1
    assert len(list(folder.glob("checkpoint-*.json"))) < 4  # it had not come to its end
    finish(start("resume", tmp_path / "killed"))
    names = ("metrics.csv", "best/policy.safetensors", "latest/policy.safetensors")
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
