"""Environments that raise, hang, die or return what they must not."""

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.toys import ConstantAgent
from workspace_rl import Agents, GymAgent, TemporalAgent, Workspace
from workspace_rl.algos import SAC
from workspace_rl.errors import (
    ActionError,
    EnvironmentContractError,
    EnvironmentFailedError,
    EnvironmentTimeoutError,
    NonFiniteError,
)
from workspace_rl.evaluation.evaluation import evaluate
from workspace_rl.films.video import record_video

SEEDS = [10, 11, 12]
TEST_PROCESS = os.getpid()


class UnsendableError(Exception):
    def __reduce__(self):
        raise TypeError("not this one")


class Hostile(gym.Env):
    """Behaves until step `at` of the episode with seed `seed` (any if None), then does `deed`; ends after 5 steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, deed=None, at=4, seed=12, length=9, render_mode=None, space=None):
        self.deed, self.at, self.seed_, self.length, self.render_mode = deed, at, seed, length, render_mode
        self.observation_space = space or gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.seen, self.n_steps = None, 0
        if at == "made" and (deed != "raise in worker" or os.getpid() != TEST_PROCESS):
            self._now()

    def reset(self, *, seed=None, options=None):
        self.seen, self.k = (self.seen if seed is None else seed), 0
        return self._outcome("reset", (np.zeros(2, np.float32), {}))

    def step(self, action):
        self.k += 1
        self.n_steps += 1
        return self._outcome(self.k, (np.full(2, self.k, np.float32), 1.0, self.k >= self.length, False, {}))

    def render(self):
        return np.zeros((32, 32, 3), np.uint8)

    def _outcome(self, moment, outcome):
        if self.at not in (moment, f"total {self.n_steps}") or self.seed_ not in (None, self.seen):
            return outcome
        if callable(self.deed):
            return self.deed(*outcome)
        return self._now() or outcome

    def _now(self):
        match self.deed:
            case "raise" | "raise in worker":
                raise RuntimeError("the bearing broke")
            case "raise what cannot be sent":
                raise UnsendableError(lambda: None)
            case "sys.exit":
                sys.exit("window closed")
            case "die":
                os._exit(3)
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(60)


gym.register("Hostile-v0", entry_point=Hostile)

DEEDS = {
    "nan": lambda o, r, *rest: (np.array([o[0], np.nan], np.float32), r, *rest),
    "reward": lambda o, r, *rest: (o, -np.inf, *rest),
}


def agent_of(deed, at=4, vectorization="sync", **options):
    env = options.pop("env", {})
    return GymAgent(functools.partial(Hostile, deed, at, **env), 3, vectorization=vectorization, **options)


def play(agent, n_steps=8):
    workspace = Workspace()
    agent.seed_episodes(SEEDS)
    TemporalAgent(Agents(agent, ConstantAgent()))(workspace, t=0, n_steps=n_steps)
    return workspace


def failing(kind, agent, n_steps=8):
    """Return the text of the error of `kind` that playing raises, once no process of the agent is left."""
    pids = [process.pid for process in getattr(agent.vector_env, "processes", ())]
    start = time.monotonic()
    with pytest.raises(kind) as raised:
        play(agent, n_steps)
    if issubclass(kind, EnvironmentFailedError):
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    agent.close()
    assert time.monotonic() - start < 5
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    return str(raised.value)


# ---- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auto_reset", [True, False])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_nan_in_an_observation_names_variable_environment_step_seed_and_the_way_out(vectorization, auto_reset):
    text = failing(NonFiniteError, agent_of(DEEDS["nan"], vectorization=vectorization, auto_reset=auto_reset))
    assert text.startswith("agent 'GymAgent': environment 2 of 3 (from 0) 'Hostile', at step 4 of its episode, ")
    assert "step 4 since it was reset with seed 12: env/env_obs holds nan at [1]" in text
    assert "allow_nonfinite_observations" in text


def test_an_infinite_reward_is_refused_even_where_observations_may_be_infinite():
    for allowed in (False, True):
        text = failing(NonFiniteError, agent_of(DEEDS["reward"], allow_nonfinite_observations=allowed))
        assert "environment 2 of 3" in text and "seed 12: env/reward holds -inf" in text
        assert "allow_nonfinite" not in text


def test_nan_at_a_reset_in_the_middle_of_a_run_counts_steps_from_the_seeded_reset():
    def second_reset(observation, info):
        calls.append(1)
        return (observation * np.nan if len(calls) == 2 else observation), info

    calls = []
    text = failing(NonFiniteError, agent_of(second_reset, "reset", env={"length": 3}))
    assert "at the reset, step 4 since it was reset with seed 12: env/env_obs holds nan at [0]" in text


def test_non_finite_observations_pass_where_they_are_allowed():
    workspace = play(agent_of(DEEDS["nan"], allow_nonfinite_observations=True))
    assert workspace["env/env_obs"].isnan().sum() == 1


def test_large_and_float64_numbers_are_judged_as_float32():
    large = lambda o, *rest: (np.full(2, 3e38, np.float32), *rest)  # noqa: E731
    assert play(agent_of(large))["env/env_obs"].max() > 2e38
    double = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    as_double = lambda value: lambda o, *rest: (np.full(2, value), *rest)  # noqa: E731
    assert play(agent_of(as_double(1e30), env={"space": double}))["env/env_obs"].max() > 1e29
    assert "holds 1e+50" in failing(NonFiniteError, agent_of(as_double(1e50), env={"space": double}))


def test_leaves_are_named():
    space = gym.spaces.Dict(a=gym.spaces.Discrete(2), b=gym.spaces.Box(-1, 1, (2, 2), np.float32))

    class Nested(gym.Env):
        observation_space, action_space = space, gym.spaces.Box(-1, 1, (1,), np.float32)

        def reset(self, *, seed=None, options=None):
            return {"a": 0, "b": np.array([[0, 0], [np.inf, 0]], np.float32)}, {}

    with pytest.raises(NonFiniteError, match=r"at the reset.* with seed 10: env/env_obs/b holds inf at \[1, 0\]"):
        play(GymAgent(Nested, 3))


def test_vector_environments_of_ones_own_are_looked_at():
    vector = gym.vector.SyncVectorEnv([functools.partial(Hostile, DEEDS["nan"])] * 3)
    assert "environment 2 of 3 (from 0) 'SyncVectorEnv', at step 4" in failing(NonFiniteError, GymAgent(vector, 3))
    vector = gym.vector.SyncVectorEnv([functools.partial(Hostile, "raise")] * 3)
    text = failing(EnvironmentFailedError, GymAgent(vector, 3))
    assert "environment 2 of 3 (from 0) 'SyncVectorEnv', at step 4 of its episode, step 4 since it was reset" in text
    assert "raised RuntimeError: the bearing broke" in text


# ---- raising, dying, hanging --------------------------------------------------------------------------------------


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("auto_reset", [True, False])
def test_an_environment_that_raises_is_reported_with_place_and_seed(vectorization, auto_reset):
    agent = agent_of("raise", vectorization=vectorization, auto_reset=auto_reset)
    text = failing(EnvironmentFailedError, agent)
    assert "environment 2 of 3 (from 0) 'Hostile', at step 4 of its episode, step 4 since it was reset with" in text
    assert "seed 12: it raised RuntimeError: the bearing broke" in text
    assert "test_hostile_environments.py:" in text and "in _now" in text


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_an_environment_that_raises_at_its_reset(vectorization):
    text = failing(EnvironmentFailedError, agent_of("raise", "reset", vectorization))
    assert "environment 2 of 3 (from 0) 'Hostile', at its reset with seed 12: it raised RuntimeError: the" in text


def test_an_environment_that_raises_while_it_is_made():
    with pytest.raises(EnvironmentFailedError, match=r"environment 0 of 3 .*, while it was made: it raised Runtime"):
        agent_of("raise", "made")
    with pytest.raises(EnvironmentFailedError, match=r"environment 0 of 3 .*, while it was made: it raised Runtime"):
        agent_of("raise in worker", "made", "async")
    with pytest.raises(EnvironmentFailedError, match="environment 0 of 3 .*, while it was made: its process ended"):
        GymAgent(lambda: Hostile("die", "made" if os.getpid() != TEST_PROCESS else 4), 3, vectorization="async")
    made, closed = [], []

    class Third(Hostile):
        def __init__(self):
            super().__init__("raise", "made" if len(made) == 2 else 4)
            made.append(self)

        def close(self):
            closed.append(self)

    with pytest.raises(EnvironmentFailedError, match="environment 2 of 3"):
        GymAgent(Third, 3)
    assert len(made) == len(closed) == 2


def test_what_cannot_be_sent_between_processes_and_exits_are_reported():
    text = failing(EnvironmentFailedError, agent_of("raise what cannot be sent", vectorization="async"))
    assert "environment 2 of 3" in text and "it raised UnsendableError" in text
    for vectorization in ("sync", "async"):
        text = failing(EnvironmentFailedError, agent_of("sys.exit", vectorization=vectorization))
        assert "environment 2 of 3" in text and "it raised SystemExit: window closed" in text


@pytest.mark.parametrize(
    ("deed", "how"), [("die", "its process ended with exit code 3"), ("crash", "ended by signal 9 (Killed)")]
)
@pytest.mark.parametrize("at", [4, "reset"])
def test_a_worker_that_dies_is_reported_with_place_and_seed(deed, how, at):
    text = failing(EnvironmentFailedError, agent_of(deed, at, "async"))
    assert "environment 2 of 3" in text and "seed 12: " in text and how in text


@pytest.mark.parametrize("at", [4, "reset"])
def test_a_worker_that_hangs_is_reported_with_place_and_seed(at):
    text = failing(EnvironmentTimeoutError, agent_of("hang", at, "async", timeout=0.5))
    assert "environment 2 of 3" in text and "seed 12: it gave no answer within 0.5 seconds" in text
    assert "gym_env.timeout" in text


def test_closing_does_not_wait_for_a_worker_that_hangs(monkeypatch):
    monkeypatch.setattr("workspace_rl.envs.vector.async_envs.GRACE", 0.5)
    agent = agent_of("hang", vectorization="async")
    play(agent, 4)
    agent.vector_env.step_async(np.zeros((3, 1), np.float32))
    start = time.monotonic()
    agent.close()
    assert time.monotonic() - start < 3
    assert not [one for one in multiprocessing.active_children() if "AsyncEnvs" in one.name]


def test_no_worker_survives_a_training_process_that_is_killed():
    program = (
        "import sys, time; from workspace_rl import GymAgent, Workspace\n"
        "agent = GymAgent('CartPole-v1', 2, vectorization='async'); agent(Workspace(), t=0)\n"
        "print(*[one.pid for one in agent.vector_env.processes], flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        pids = process.stdout.readline().split()
        process.kill()
        assert len(pids) == 2
        assert process.stderr.read() == b""  # which ends when all workers have
    deadline = time.monotonic() + 5
    while left := [pid for pid in pids if Path(f"/proc/{int(pid)}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.parametrize(("deed", "kind"), [("die", EnvironmentFailedError), ("hang", EnvironmentTimeoutError)])
def test_training_ends_with_the_error_and_keeps_what_it_has(tiny_sac, deed, kind, monkeypatch):
    monkeypatch.setattr("workspace_rl.envs.vector.async_envs.GRACE", 0.5)  # both environments hang
    tiny_sac["gym_env"] = {
        "env_name": "Hostile-v0",
        "env_args": {"deed": deed, "at": "total 210", "seed": None},
        "vectorization": "async",
        "timeout": 0.5,
    }
    algorithm = SAC(tiny_sac)
    with pytest.raises(kind, match=r"environment 0 of 2 \(from 0\) 'Hostile-v0'.*since it was reset with seed \d+: "):
        algorithm.train(progress=False)
    run = Path(tiny_sac["base_dir"])
    assert (run / "latest" / "policy.safetensors").is_file() and (run / "best" / "policy.safetensors").is_file()
    assert "train/episode_return" in (run / "metrics.csv").read_text()
    assert not [one for one in multiprocessing.active_children() if "AsyncEnvs" in one.name]


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_evaluation_and_filming_report_as_well(vectorization, tmp_path):
    agent = agent_of("raise", vectorization=vectorization, auto_reset=False)
    with pytest.raises(EnvironmentFailedError, match=r"environment 2 of 3 .* at step 4 .* with seed 12: it raised"):
        evaluate(agent, ConstantAgent(), SEEDS)
    agent.close()
    make = functools.partial(Hostile, "raise", render_mode="rgb_array")
    agent = GymAgent(make, vectorization=vectorization, auto_reset=False)
    with pytest.raises(EnvironmentFailedError, match=r"environment 0 of 1 .* at step 4 .* with seed 12: it raised"):
        record_video(agent, ConstantAgent(), tmp_path / "film.mp4", [12])
    agent.close()
    assert not list(tmp_path.iterdir())


# ---- the interface ------------------------------------------------------------------------------------------------

STEPS = {
    r"must return \(observation, reward, terminated, truncated, info\), a tuple of 4 found.*old package gym": (
        lambda o, r, terminated, truncated, info: (o, r, terminated, info)
    ),
    r"reward must be one real number, None \(NoneType\) found": lambda o, r, *rest: (o, None, *rest),
    r"reward must be one real number, 1j \(complex\) found": lambda o, r, *rest: (o, 1j, *rest),
    r"reward must be one real number, ndarray float64 of shape \[1\] found": lambda o, r, *rest: (o, np.ones(1), *rest),
    r"reward must be one real number, '1.0' \(str\) found": lambda o, r, *rest: (o, "1.0", *rest),
    r"'terminated' must be True or False, None \(NoneType\) found": lambda o, r, te, tr, i: (o, r, None, tr, i),
    r"'truncated' must be True or False, 'no' \(str\) found": lambda o, r, te, tr, i: (o, r, te, "no", i),
    r"'truncated' must be True or False, ndarray bool of shape \[1\] found": (
        lambda o, r, te, tr, i: (o, r, te, np.zeros(1, bool), i)
    ),
    r"'info' must be a dictionary, a list of 1 found": lambda o, r, te, tr, i: (o, r, te, tr, ["x"]),
    r"'env_obs' must be float32 of shape \[2\].* ndarray float32 of shape \[3\] found": (
        lambda o, *rest: (np.zeros(3, np.float32), *rest)
    ),
    r"'env_obs' must be float32 of shape \[2\].* ndarray float32 of shape \[1\] found": (
        lambda o, *rest: (np.zeros(1, np.float32), *rest)
    ),
    r"'env_obs' must be float32 of shape \[2\].* ndarray complex64 of shape \[2\] found": (
        lambda o, *rest: (o * 1j, *rest)
    ),
    r"'env_obs' must be float32 of shape \[2\].* None \(NoneType\) found": lambda o, *rest: (None, *rest),
}


@pytest.mark.parametrize("message", STEPS)
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_step_that_breaks_the_interface_names_what_was_expected_and_found(message, vectorization):
    agent = agent_of(STEPS[message], vectorization=vectorization)
    with pytest.raises(EnvironmentContractError, match=rf"environment 2 of 3 .* at step 4 .* seed 12: its .*{message}"):
        play(agent)
    agent.close()


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_reset_that_breaks_the_interface(vectorization):
    old = agent_of(lambda observation, info: observation, "reset", vectorization)
    text = failing(EnvironmentContractError, old)
    assert (
        "environment 2 of 3 (from 0) 'Hostile', at its reset with seed 12: its reset must return (observation, inf"
        in text
    )
    assert "ndarray float32 of shape [2] found" in text
    floats = agent_of(
        lambda observation, info: (observation, info), "reset", vectorization, env={"space": gym.spaces.Discrete(3)}
    )
    text = failing(EnvironmentContractError, floats)
    assert "environment 0 of 3" in text and "'env_obs' must be int64 of shape []" in text


def test_parts_of_an_observation_are_named():
    space = gym.spaces.Dict(a=gym.spaces.Box(-1, 1, (2,)), b=gym.spaces.Tuple([gym.spaces.Discrete(2)]))
    good = {"a": np.zeros(2, np.float32), "b": (0,)}
    for bad, message in (
        ({"a": good["a"]}, r"'env_obs' must be a dictionary with the keys \['a', 'b'\], keys \['a'\] found"),
        ({**good, "b": ()}, r"'env_obs/b' must be a tuple of 1, a tuple of 0 found"),
        ({**good, "b": (0.5,)}, r"'env_obs/b/0' must be int64 of shape \[\].* 0.5 \(float\) found"),
        (np.zeros(2), r"'env_obs' must be a dictionary .* ndarray float64 of shape \[2\] found"),
    ):
        deed = lambda o, *rest, bad=bad: (bad if rest[1:] else good, *rest)  # noqa: E731
        reset = lambda self, **options: (good, {})  # noqa: E731
        made = type("Parts", (Hostile,), {"reset": reset, "k": 0})
        with pytest.raises(EnvironmentContractError, match=rf"step 1 of its episode.*{message}"):
            play(GymAgent(functools.partial(made, deed, 1, None, space=space), 3))


def test_usual_liberties_are_taken():
    """Numbers of another size, Python's and NumPy's own types, and what lies outside the space's bounds."""

    def liberal(observation, *_):
        return np.full(2, 7.0), np.array(2.0), np.array(False), 0, {"a": 1}

    narrow = gym.spaces.Box(-1, 1, (2,), np.float32)
    for vectorization in ("sync", "async"):
        agent = agent_of(liberal, vectorization=vectorization, env={"space": narrow})
        workspace = play(agent, 6)
        agent.close()
        assert workspace["env/env_obs"][4, 2].tolist() == [7, 7] and workspace["env/reward"][4, 2] == 2


# ---- actions ------------------------------------------------------------------------------------------------------


class Spaces(Hostile):
    def __init__(self, action_space):
        super().__init__()
        self.action_space, self.actions = action_space, []

    def step(self, action):
        self.actions.append(action)
        return super().step(action)


def act(space, action, **options):
    agent = GymAgent(functools.partial(Spaces, space), 1, **options)
    workspace = Workspace()
    agent(workspace, t=0)
    workspace.set("action", 0, torch.as_tensor(action))
    agent(workspace, t=1)
    return agent.vector_env.envs[0].actions[0]


BOX, UNBOUNDED = gym.spaces.Box(-2, 2, (1,)), gym.spaces.Box(-np.inf, np.inf, (1,))
CHOICE, CHOICES = gym.spaces.Discrete(3), gym.spaces.MultiDiscrete([2, 3])
SWITCHES = gym.spaces.MultiBinary(2)


@pytest.mark.parametrize(
    ("space", "action", "message"),
    [
        (BOX, [[float("nan")]], r"out of bounds for environment 0: \[nan\] found"),
        (BOX, [[float("inf")]], r"out of bounds for environment 0: \[inf\] found"),
        (BOX, [[1.1]], r"out of bounds for environment 0: \[1.10"),
        (BOX, [[1]], r"floats of shape \[1, 1\].*found torch.int64"),
        (BOX, [[1 + 1j]], r"floats of shape \[1, 1\].*found torch.complex64"),
        (BOX, [[0.1, 0.2]], r"floats of shape \[1, 1\].*of shape \[1, 2\]"),
        (CHOICE, [3], r"holds \[3\].*takes 0 to 2"),
        (CHOICE, [-1], r"holds \[-1\].*takes 0 to 2"),
        (CHOICE, [1.0], r"integers of shape \[1\].*found torch.float32"),
        (CHOICE, [float("nan")], r"integers of shape \[1\].*found torch.float32"),
        (CHOICE, [True], r"integers of shape \[1\].*found torch.bool"),
        (CHOICES, [[0, 3]], r"holds \[\[0, 3\]\].*takes 0 to \[1, 2\]"),
        (SWITCHES, [[0, 2]], r"holds \[\[0, 2\]\]; MultiBinary\(2\) takes 0 to \[1, 1\]"),
        (SWITCHES, [[True, False]], r"integers of shape \[1, 2\] for MultiBinary\(2\), found torch.bool"),
        (CHOICES, [[0.0, 1.0]], r"integers of shape \[1, 2\].*found torch.float32"),
    ],
)
def test_actions_that_do_not_fit_are_refused(space, action, message):
    with pytest.raises(ActionError, match=rf"agent 'GymAgent': variable 'action' at step 0 .*{message}"):
        act(space, action)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_actions_that_are_not_finite_are_refused_also_where_nothing_bounds_them_or_they_are_clipped(value):
    for options in ({"rescale_actions": False}, {"rescale_actions": False, "clip_actions": True}):
        with pytest.raises(ActionError, match="out of bounds for environment 0"):
            act(UNBOUNDED, [[value]], **options)
    with pytest.raises(ActionError, match="out of bounds for environment 0"):
        act(BOX, [[value]], clip_actions=True)
    assert act(UNBOUNDED, [[1e30]], rescale_actions=False).item() == pytest.approx(1e30)


def test_choices_that_start_elsewhere_and_coarse_floats_arrive_as_they_should():
    assert act(gym.spaces.MultiDiscrete([2, 3], start=[5, -1]), [[1, 2]]).tolist() == [6, 1]
    assert act(BOX, torch.tensor([[0.5]], dtype=torch.bfloat16)).tolist() == [1.0]
