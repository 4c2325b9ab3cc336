import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workspace_rl import Run
from workspace_rl.cli import main

SMALL = [
    "algorithm.total_steps=300",
    "algorithm.learning_starts=100",
    "algorithm.random_steps=0",
    "algorithm.batch_size=8",
    "algorithm.nb_evals=2",
    "algorithm.eval_interval=150",
    "algorithm.final_episodes=2",
    "algorithm.architecture.actor_hidden_size=[8]",
    "algorithm.architecture.critic_hidden_size=[8]",
]


def test_train_evaluate_record(tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", "sac/pendulum", f"base_dir={run}", *SMALL, "algorithm.save_policy_every=100"]) == 0
    output = capsys.readouterr().out
    for part in ("best policy", "final score", "over 2 episodes, fresh ones", "best_agent.mp4", "tensorboard --logdir"):
        assert part in output
    assert main(["evaluate", run, "--episodes", "3"]) == 0
    assert "over 3 episodes" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "run" / "best" / "eval.json").read_text())["final"]["returns"]) == 2
    video = tmp_path / "film.mp4"
    assert main(["record", run, "--episodes", "2", "--policy", "latest", "--output", str(video)]) == 0
    assert capsys.readouterr().out.strip() == str(video)
    assert video.stat().st_size > 1000
    assert Run(run).policies() == ["best", "latest", "policies/100", "policies/200", "policies/300"]
    assert main(["evaluate", run, "--episodes", "2", "--policy", "policies/100"]) == 0
    assert capsys.readouterr().out.startswith(f"policies/100 policy of {run}: ")
    assert len(Run(run).scores("policies/100")["final"]["returns"]) == 2
    assert Run(run).film("policies/100") == tmp_path / "run" / "policies" / "100" / "100_agent.mp4"
    assert main(["record", run, "--policy", "policies/7"]) == 1
    assert "no policy 'policies/7'; it has best, latest, policies/100, policies/200" in capsys.readouterr().err
    assert main(["plot", run, "--metrics", "loss/*", "eval/return_mean"]) == 0
    assert main(["plot", run, run, "--normalise", "Pendulum-v1=-1400:-150", "--output", f"{tmp_path}/x.svg"]) == 0
    assert main(["report", run]) == 0
    assert capsys.readouterr().out.split() == [f"{run}/curves.png", f"{tmp_path}/x.svg", f"{run}/report.html"]
    assert (tmp_path / "run" / "curves.png").stat().st_size > 10_000 and "<svg" in (tmp_path / "x.svg").read_text()
    assert "<video" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "sac/pendulun"], "Did you mean 'sac/pendulum'?"),
        (["train", "sac/pendulum", "algorithm.sed=3"], "unknown key 'algorithm.sed'. Did you mean 'seed'?"),
        (["train", "sac/pendulum", "gym_env.env_name=Pendulum-v9"], "no environment is called 'Pendulum-v9'"),
        (["train", "sac/pendulum", "gym_env.env_name=CartPole-v1"], "SAC needs continuous actions"),
        (["train", "sac/pendulum", "algo=sacc"], "algo: one of"),
        (["train", "sac/pendulum", "base_dir=/proc/run"], "/proc/run cannot be created"),
        (["train", "sac/pendulum", "seed"], "write key=value"),
        (["evaluate", "/nowhere"], "/nowhere is not the folder of a run"),
        (["record", "/nowhere"], "/nowhere is not the folder of a run"),
        (["plot", "/nowhere"], "/nowhere is not the folder of a run"),
        (["report", "/nowhere"], "/nowhere is not the folder of a run"),
        (
            ["train", "sac/pendulum", "logger.log_dir=/proc/nope", "base_dir=/tmp/never/x"],
            "/proc/nope cannot be created",
        ),
    ],
)
def test_user_errors_are_one_clear_line(arguments, message, capsys):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.startswith("workspace-rl: ")
    assert captured.err.count("\n") == 1 and "Traceback" not in captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["trian"],
        ["evaluate"],
        ["evaluate", "run", "--episodes", "0"],
        ["plot", "run", "--normalise", "x=1"],
        ["report"],
    ],
)
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: workspace-rl" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--allow", "json", "a=1"], ["b=2", "--allow=json", "a=1"]])
def test_parameters_may_stand_behind_other_options(arguments, tmp_path, capsys):
    assert main(["resume", str(tmp_path), *arguments]) == 1
    assert "is not the folder of a run" in capsys.readouterr().err
    for wrong in (["resume", str(tmp_path), *arguments, "--wrong=1"], ["evaluate", str(tmp_path), "a=1"]):
        with pytest.raises(SystemExit):
            main(wrong)


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["record"], ["plot"], ["report"], ["configs"]])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 8


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path, monkeypatch, capsys):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return descriptor

    with (tmp_path / "pipe").open("w") as file:
        descriptor = file.fileno()
        monkeypatch.setattr(sys, "stdout", Closed())
        assert main(["configs", "sac"]) == 1
    assert capsys.readouterr().err == ""


def test_configs(capsys):
    assert main(["configs"]) == 0
    assert "sac/cartpole_continuous\n" in capsys.readouterr().out
    assert main(["configs", "sac"]) == 0
    assert "init_entropy_coef: 1.0  # " in capsys.readouterr().out


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_ctrl_c_in_a_terminal(tmp_path, vectorization):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "workspace_rl", "train", "sac/pendulum", f"base_dir={run}", *SMALL]
    command += ["algorithm.total_steps=10_000_000", f"gym_env.vectorization={vectorization}"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (run / "best" / "eval.json").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all processes get it
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped early" in output and "Traceback" not in errors
    assert (run / "latest" / "policy.safetensors").exists()


MODULE = """
from pathlib import Path
import gymnasium
Path("imported").touch()
gymnasium.register("Mine-v0", entry_point="gymnasium.envs.classic_control.pendulum:PendulumEnv", max_episode_steps=50)
"""


def test_own_modules_are_found_when_training_and_never_run_when_looking_at_a_run(tmp_path):
    (tmp_path / "my_module.py").write_text(MODULE)
    command = Path(sys.executable).with_name("workspace-rl")

    def call(*arguments):
        return subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True)

    trained = call("train", "sac/pendulum", "gym_env.env_name=my_module:Mine-v0", "base_dir=run", *SMALL)
    assert trained.returncode == 0, trained.stderr
    (tmp_path / "imported").unlink()
    looked = call("evaluate", "run")
    assert looked.returncode == 1 and "PYTHONPATH" in looked.stderr
    assert not (tmp_path / "imported").exists()


def test_configs_prints_names_files_and_parameters(tmp_path, capsys):
    assert main(["configs"]) == 0
    assert "sac/pendulum" in capsys.readouterr().out.splitlines()
    for name in ("sac/pendulum", "sac/pendulum.yaml"):
        assert main(["configs", name]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("# Score") and "env_name: Pendulum-v1" in shown and "total_steps: 20_000" in shown
    assert main(["configs", "dqn"]) == 0
    assert "loss: huber  # of the temporal-difference error; one of huber, squared" in capsys.readouterr().out
    assert main(["configs", "sac/pendulun"]) == 1
    assert "Did you mean 'sac/pendulum'?" in capsys.readouterr().err
    assert main(["configs", "sax"]) == 1
    assert "Did you mean 'sac'?" in capsys.readouterr().err
