"""BBRL's loggers, its course's helpers, and reading logs again."""

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from workspace_rl.compat.bbrl import get_arguments, get_class, instantiate_class
from workspace_rl.compat.bbrl.agents import Agent
from workspace_rl.compat.bbrl.utils.chrono import Chrono
from workspace_rl.compat.bbrl.utils.functional import cumulated_reward
from workspace_rl.compat.bbrl.utils.logger import (
    Logger,
    TFLogger,
    WandbLogger,
    read_directories,
    read_directory,
    read_log,
)
from workspace_rl.compat.bbrl.utils.replay_buffer import ReplayBuffer
from workspace_rl.compat.bbrl.utils.utils import soft_param_update
from workspace_rl.compat.bbrl.workspace import Workspace
from workspace_rl.compat.bbrl_utils.algorithms import EpisodicAlgo, EpochBasedAlgo
from workspace_rl.compat.bbrl_utils.logger import Logger as CourseLogger
from workspace_rl.compat.bbrl_utils.nn import build_mlp, copy_parameters, setup_optimizer, soft_update_params
from workspace_rl.errors import ReplayBufferError

pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")]


def write_log(folder, n=3, **options):
    logger = TFLogger(str(folder), every_n_seconds=10, **options)
    for k in range(n):
        logger.add_scalar("loss", torch.tensor(1.0 / (k + 1), requires_grad=True), k)
        logger.add_scalar("loss", 99.0, k)  # a second value at the same iteration is ignored
    logger.get_logger("eval/").get_logger("a/").add_scalar("reward", np.float32(2.5), 2)
    logger.close()
    return logger


def test_logs_are_readable(tmp_path):
    write_log(tmp_path / "one").save_hps({"algorithm": {"seed": 1}, "sizes": [1, 2]}, verbose=False)
    frame = read_log(tmp_path / "one")
    assert list(frame.columns) == ["run", "step", "loss", "eval/a/reward"]
    assert frame["loss"].tolist() == pytest.approx([1, 1 / 2, 1 / 3]) and frame["step"].tolist() == [0, 1, 2]
    assert (tmp_path / "one" / "done").read_text() == "Done\n"
    assert json.loads((tmp_path / "one" / "params.json").read_text())["algorithm"] == {"seed": 1}
    events = EventAccumulator(str(tmp_path / "one")).Reload()
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([1, 1 / 2, 1 / 3])
    assert events.Scalars("eval/a/reward")[0].step == 2


def test_logs_of_several_runs_are_one_table(tmp_path):
    write_log(tmp_path / "a" / "one", 2)
    write_log(tmp_path / "a" / "two", 3)
    for frame in (
        Logger.read_directories([tmp_path / "a"]),
        read_directories([tmp_path / "a" / "one", str(tmp_path / "a" / "two")]),
        read_directory(tmp_path / "a"),
    ):
        assert frame["run"].tolist() == [str(tmp_path / "a" / "one")] * 3 + [str(tmp_path / "a" / "two")] * 3


def test_options_of_the_logger(tmp_path, capsys, monkeypatch):
    logger = write_log(tmp_path / "quiet", save_tensorboard=False, hps={"seed": 1})
    assert not list((tmp_path / "quiet").glob("events*"))
    logger.add_figure("picture", Figure(), 0)  # goes nowhere
    logger.message("hello", "me")
    logger = TFLogger(tmp_path / "loud", modulo=10, verbose=True, cache_size=1)
    for k in range(25):
        logger.add_scalar("x", float(k), k)
    assert read_log(tmp_path / "loud")["x"].tolist() == [0, 10]  # two are written as soon as there are more than one
    logger.add_figure("picture", Figure(), 0)
    logger.close()
    assert "['x' at 20] = 20.0" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    logger = TFLogger()
    assert (tmp_path / logger.log_dir).parent.name == "runs"
    logger.close()


def shown(folder):
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_a_relative_folder_stays_where_it_was_meant(tmp_path, monkeypatch):
    """hydra changes the working directory around `main`, and puts it back before the last scalars are written."""
    (tmp_path / "during").mkdir()
    monkeypatch.chdir(tmp_path / "during")
    logger = TFLogger("logs", hps={"seed": 1}, every_n_seconds=1000)
    logger.add_scalar("x", 1.0, 0)
    monkeypatch.chdir(tmp_path)
    logger.add_scalar("x", 2.0, 1)
    logger.save_hps({"seed": 1}, verbose=False)
    logger.close()
    assert [file.name for file in tmp_path.iterdir()] == ["during"]
    assert shown(tmp_path / "during" / "logs") == {"x": [(0, 1), (1, 2)]}
    assert read_log(tmp_path / "during" / "logs")["x"].tolist() == [1, 2]


VALUES = [1, 2.5, True, float("nan"), float("inf"), None, "text", "3.5", [1.0], (1.0,), {"a": 1}, object(), 1j]
ITERATIONS = [0, 1, 2.7, 2, 1, torch.tensor(5), np.int64(6)]


@pytest.mark.parametrize("modulo", [1, 3])
def test_scalars_are_those_of_the_real_logger(real, tmp_path, modulo, capsys):
    for folder, logger_class in (("real", real.module("utils.logger").TFLogger), ("ours", TFLogger)):
        logger = logger_class(str(tmp_path / folder), modulo=modulo, every_n_seconds=10)
        for k, value in enumerate(VALUES):
            logger.add_scalar(f"value {k}", value, 0)
            logger.get_logger("p/").add_scalar("all", value, k)
        for k, iteration in enumerate(ITERATIONS):
            logger.add_scalar("iterations", float(k), iteration)
        logger.close()
    theirs, mine = (shown(tmp_path / folder) for folder in ("real", "ours"))
    np.testing.assert_equal(mine, theirs)
    assert len(mine) == 7


def test_what_is_no_single_number_is_ignored(tmp_path):
    logger = TFLogger(tmp_path)
    for value in (torch.ones(2), torch.ones(()) * 1j, np.ones(3), "x", None, torch.zeros(0)):
        logger.add_scalar("bad", value, 0)
        logger.add_scalar("bad", 1.0, 0)
        logger.flush()
    for k, value in enumerate([torch.ones(1, 1), np.float32(2), np.array(3), np.int8(4), torch.tensor(5)]):
        logger.add_scalar("good", value, k)
    logger.close()
    assert shown(tmp_path) == {"good": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]}


def test_the_logger_is_tensorboards_writer(tmp_path):
    for save in (True, False):
        with TFLogger(tmp_path / str(save), save_tensorboard=save) as logger:
            assert isinstance(logger, SummaryWriter)
            logger.add_histogram("histogram", torch.arange(5.0), 1)
            logger.add_text("text", "hello")
            logger.add_images("images", torch.rand(2, 3, 4, 4), 1)
            logger.add_scalar("x", 1.0, 0)
        files = list((tmp_path / str(save)).glob("events*"))
        assert bool(files) == save
    tags = EventAccumulator(str(tmp_path / "True")).Reload().Tags()
    assert tags["histograms"] == ["histogram"] and tags["images"] == ["images"]
    assert tags["scalars"] == ["x"] and tags["tensors"] == ["text/text_summary"]


def test_a_film_is_shown(tmp_path):
    """PyTorch looks for `moviepy.editor`, and calls its clips as moviepy 1 had them."""
    text = """
import workspace_rl.compat.bbrl as _; _.install()
import torch
from bbrl.utils.logger import TFLogger
from torch.utils.tensorboard import SummaryWriter
film = torch.randint(256, (1, 4, 3, 8, 8), dtype=torch.uint8)
for logger in (TFLogger("log"), SummaryWriter("log")):
    logger.add_video("film", film, 3)
    logger.close()
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", text], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    films = EventAccumulator(str(tmp_path / "log")).Reload().Images("film")
    assert [film.encoded_image_string[:6] for film in films] == [b"GIF89a"] * 2


def test_weights_and_biases_is_asked_for_by_name():
    with pytest.raises(RuntimeError, match="pip install wandb"):
        WandbLogger(project="p", tags="a_b")


def test_losses_are_read_when_they_are_written(tmp_path):
    class Unread(torch.Tensor):
        def item(self):
            raise AssertionError("read")

    cfg = OmegaConf.create({"classname": f"{TFLogger.__module__}.TFLogger", "log_dir": str(tmp_path)})
    logger = CourseLogger(cfg)
    logger.log_losses(torch.ones(()).as_subclass(Unread), torch.ones(()), torch.ones(()), 3)
    logger.log_reward_losses(torch.tensor([1.0, 2.0, 6.0]), 3)
    logger.logger.close()
    frame = read_log(tmp_path)
    assert frame.filter(like="reward/").iloc[0].to_dict() == {
        "reward/mean": 3,
        "reward/max": 6,
        "reward/min": 1,
        "reward/median": 2,
    }


# ---- configurations -----------------------------------------------------------------------------------------------


def test_classes_named_in_configurations():
    config = OmegaConf.create({"classname": "torch.nn.Linear", "in_features": 2, "out_features": 3})
    assert get_class(config) is get_class({"classname": "torch.nn.Linear"}) is nn.Linear
    assert get_arguments(config) == {"in_features": 2, "out_features": 3}
    assert instantiate_class(config).weight.shape == (3, 2)
    with pytest.raises(ValueError, match="classname"):
        get_class({"classname": "Linear"})


def test_networks_and_optimisers():
    net, target = build_mlp([2, 4, 1], nn.ReLU()), build_mlp([2, 4, 1], nn.ReLU(), nn.Tanh())
    assert [type(one).__name__ for one in target] == ["Linear", "ReLU", "Linear", "Tanh"]
    before, source = target[0].weight.clone(), net[0].weight.clone()
    soft_update_params(net, target, 0.25)
    assert torch.equal(target[0].weight, 0.25 * source + 0.75 * before)
    soft_param_update(target, net, 1.0)
    torch.testing.assert_close(target[0].weight, source)
    before = target[0].weight.clone()
    soft_param_update(target, build_mlp([2, 4, 1], nn.ReLU()), 0.0)
    assert torch.equal(target[0].weight, before)
    copy_parameters(build_mlp([2, 4, 1], nn.ReLU()), net)
    assert not torch.equal(net[0].weight, source)
    entropy = nn.Parameter(torch.zeros(1))
    tensor = torch.zeros(1, requires_grad=True)
    optimizer = setup_optimizer(OmegaConf.create({"classname": "torch.optim.SGD", "lr": 0.5}), net, entropy, tensor)
    assert len(optimizer.param_groups[0]["params"]) == 6 and optimizer.defaults["lr"] == 0.5


def test_a_stopwatch(capsys, monkeypatch):
    watch = Chrono()
    monkeypatch.setattr("time.time", lambda: watch.start + 3600 + 120 + 3.25)
    watch.stop()
    assert capsys.readouterr().out == "Time : 1h 2mn 3s 250ms\n"


def test_unfinished_episodes_have_no_return():
    with pytest.raises(AssertionError, match="unfinished"):
        cumulated_reward(torch.ones(3, 2), torch.zeros(3, 2, dtype=torch.bool))


# ---- the buffer, where BBRL fails ---------------------------------------------------------------------------------


def columns(first, n, **more):
    workspace = Workspace()
    workspace.set_full("x", torch.arange(first, first + n).float().repeat(2, 1))
    for name, value in more.items():
        workspace.set_full(name, value)
    return workspace


def test_more_columns_than_fit():
    buffer = ReplayBuffer(10)
    buffer.put(columns(0, 10))
    buffer.put(columns(10, 25))
    assert sorted(buffer.variables["x"][:, 0].tolist()) == list(range(25, 35))
    assert buffer.size() == 10 and buffer.position == 5
    assert buffer.variables["x"][4, 0] == 34  # the newest stands before the position


@pytest.mark.parametrize(
    "wrong",
    [
        columns(0, 3, y=torch.zeros(2, 3)),
        columns(0, 3, z=torch.zeros(2, 3, 5)),
        columns(0, 3, z=torch.zeros(2, 3, dtype=torch.int64)),
        columns(0, 3, z=torch.zeros(2, 4)),
        columns(0, 3),
    ],
)
def test_what_does_not_fit_changes_nothing(wrong):
    buffer = ReplayBuffer(1e1)
    buffer.put(columns(0, 4, z=torch.zeros(2, 4)))
    before = {name: value.clone() for name, value in buffer.variables.items()}
    with pytest.raises(ReplayBufferError, match="Nothing was stored"):
        buffer.put(wrong)
    assert buffer.position == 4
    assert all(torch.equal(before[name], buffer.variables[name]) for name in before)


def test_an_empty_buffer_and_another_device(capsys):
    buffer = ReplayBuffer(4)
    with pytest.raises(ReplayBufferError, match="empty"):
        buffer.get_shuffled(2)
    buffer.put(columns(0, 2, **{"env/env_obs": torch.ones(2, 2)}))
    buffer.to("cpu")
    assert buffer.device == torch.device("cpu")
    buffer.print_obs()
    assert "position: 2" in capsys.readouterr().out


# ---- algorithms, where BBRL fails ---------------------------------------------------------------------------------


class Random(Agent):
    def forward(self, t, stochastic=False, **kwargs):
        assert torch.is_grad_enabled() == self.expected
        self.set(("action", t), torch.randint(2, (len(self.get(("env/reward", t))),)))


def config(tmp_path):
    return OmegaConf.create(
        {
            "base_dir": "${gym_env.env_name}/test",
            "collect_stats": True,
            "gym_env": {"env_name": "CartPole-v1"},
            "algorithm": {
                "seed": 1,
                "n_envs": 2,
                "n_steps": 4,
                "nb_evals": 3,
                "eval_interval": 10,
                "max_epochs": 3,
                "learning_starts": 10,
                "buffer_size": 100,
            },
        }
    )


def test_a_run_with_one_policy_only(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = EpochBasedAlgo(config(tmp_path))
    with pytest.raises(AssertionError, match="train_policy"):
        run.train_agent  # noqa: B018
    run.train_policy = Random()
    run.train_policy.expected = False  # neither collections nor evaluations build a graph
    with pytest.raises(AssertionError, match="none has been evaluated"):
        run.visualize_best()
    buffers = [buffer.size() for buffer in run.iter_replay_buffers()]
    assert buffers == [16, 24] or buffers[-1] <= 24
    assert run.evaluate(force=True) is True and run.evaluate() is None
    assert isinstance(run.best_policy, Random) and run.best_policy is not run.train_policy
    assert run.register_evaluation(torch.zeros(3)) is False
    run.save_stats()
    assert np.loadtxt("outputs/CartPole-v1/test/stats.npy").shape == (3, 2)
    run.visualize_best()
    assert (tmp_path / "outputs/CartPole-v1/test/best_agent/rl-video-episode-0.mp4").is_file()
    run.logger.logger.close()
    assert read_log(run.logger.logger.log_dir)["reward/max"].notna().all()


@pytest.mark.parametrize("logger", [None, {"classname": f"{TFLogger.__module__}.TFLogger", "every_n_seconds": 10}])
def test_one_configuration_serves_for_several_runs(tmp_path, monkeypatch, logger):
    monkeypatch.chdir(tmp_path)
    cfg = OmegaConf.merge(
        config(tmp_path), {"base_dir": "run-S${algorithm.seed}"}, {"logger": logger} if logger else {}
    )
    before = copy.deepcopy(cfg)
    OmegaConf.set_struct(cfg, True)
    for seed in (1, 2):
        cfg.algorithm.seed = seed
        run = EpisodicAlgo(cfg)
        run.register_evaluation(torch.full((2,), float(seed)), Random())
        run.logger.logger.close()
        frame = read_log(tmp_path / "outputs" / "tblogs" / f"run-S{seed}")
        assert frame["reward/mean"].tolist() == [seed]
    cfg.algorithm.seed = 1
    assert cfg == before


def test_the_best_policy_is_never_one_that_scored_nan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = EpisodicAlgo(config(tmp_path))
    first, second = Random(), Random()
    assert run.register_evaluation(torch.tensor([1.0, torch.nan]), first) is False
    assert run.best_policy is None and run.best_reward == -torch.inf
    assert run.register_evaluation(torch.tensor([-5.0]), second) is True
    assert run.register_evaluation(torch.tensor([torch.nan]), first) is False
    assert run.register_evaluation(torch.tensor([-5.0]), first) is False
    assert run.best_reward == -5
    run.logger.logger.close()


def test_losses_are_single_numbers(tmp_path):
    logger = CourseLogger({"classname": f"{TFLogger.__module__}.TFLogger", "log_dir": str(tmp_path)})
    with pytest.raises(RuntimeError):
        logger.add_log("loss", torch.ones(2), 0)
    logger.logger.close()


def test_episodes_keep_their_graph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = EpisodicAlgo(config(tmp_path), autoreset=True)
    run.train_policy = Random()
    run.train_policy.expected = True
    assert [workspace.time_size() for workspace in run.iter_partial_episodes(5)] == [5, 5, 5]
    assert run.epoch == 2 and run.nb_steps > 20
    run.logger.logger.close()
