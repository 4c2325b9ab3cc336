"""What speed.py lets compete: this library through its public interface, and its peers through theirs.

Those that cannot share a process are workers, `python speed_contenders.py KIND JSON`, which do a number of units of
their work when told to and report how long it took. SBX runs in a virtual environment of its own; so nothing is
imported here before it is needed.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

#: Seconds of the processor and on the clock.
Times = tuple[float, float]
#: Does so many units of its work.
Contender = Callable[[int], Times]

# One thread, before any library starts its own.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

TRANSITIONS = 100_000
LEARNING_STARTS = 1000


def settle() -> None:
    """One core, one thread."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    warnings.simplefilter("ignore")


# ---- taking turns -----------------------------------------------------------------------------------------------


class Here:
    """A contender in this process: `run()` is one unit of its work."""

    def __init__(self, run: Callable[[], Any], precision: str = "highest") -> None:
        self.run, self.precision = run, precision

    def __call__(self, units: int) -> Times:
        torch.set_float32_matmul_precision(self.precision)
        processor, clock = time.process_time(), time.perf_counter()
        for _ in range(units):
            self.run()
        return time.process_time() - processor, time.perf_counter() - clock


class Worker:
    """A contender in a process of its own, which rests while others have their turns."""

    def __init__(
        self,
        python: str,
        kind: str,
        *,
        script: Path = Path(__file__),
        environment: dict[str, str] | None = None,
        options: Sequence[str] = (),
        **arguments: Any,
    ) -> None:
        """Start `python options script kind arguments`, with these variables of the environment besides."""
        self.process = subprocess.Popen(
            [str(Path(python).absolute()), *options, str(script.resolve()), kind, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=tempfile.gettempdir(),  # MuJoCo writes its log where it runs
            env=os.environ | (environment or {}),
        )
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        #: What the worker says about itself.
        self.about = json.loads(self._answer())

    def _answer(self) -> str:
        line = self.stdout.readline()
        if not line:
            raise SystemExit(f"the worker {' '.join(map(str, self.process.args))} ended early")  # type: ignore[arg-type]
        return line

    def __call__(self, units: int) -> Times:
        print(units, file=self.stdin, flush=True)
        processor, clock = map(float, self._answer().split())
        return processor, clock

    def close(self) -> None:
        self.stdin.close()
        self.process.wait()


class Turns:
    """A worker's side: `next()` before each unit of work returns when it is this worker's turn."""

    def __init__(self) -> None:
        self.answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what libraries print is no answer
        self.left, self.start = 0, (0.0, 0.0)

    def say(self, text: str) -> None:
        print(text, file=self.answers, flush=True)

    def ready(self, **about: Any) -> None:
        self.say(json.dumps(about))
        self._wait()

    def next(self) -> None:
        if self.left == 0:
            self.say(f"{time.process_time() - self.start[0]} {time.perf_counter() - self.start[1]}")
            self._wait()
        self.left -= 1

    def _wait(self) -> None:
        line = sys.stdin.readline()
        if not line:
            raise SystemExit
        self.left = int(line)
        self.start = time.process_time(), time.perf_counter()


# ---- environments and data ----------------------------------------------------------------------------------------


class Noise(gym.Env):
    """Random observations of a given size: for updates, only the sizes matter."""

    def __init__(self, observation: int, action: int, frames: bool = False, render_mode: str | None = None) -> None:
        self.observation_space = (
            gym.spaces.Box(0, 255, (4, 84, 84), np.uint8) if frames else gym.spaces.Box(-1, 1, (observation,))
        )
        self.action_space = gym.spaces.Discrete(-action) if action < 0 else gym.spaces.Box(-1, 1, (action,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


gym.register("SpeedNoise-v0", entry_point=Noise, disable_env_checker=True)
#: The arguments of `Noise`; a negative number of actions is that of the choices.
SIZES = {
    "obs 17, act 6": {"observation": 17, "action": 6},
    "obs 4, act 1": {"observation": 4, "action": 1},
    "obs 4, 2 actions": {"observation": 4, "action": -2},
    "84x84x4, 6 actions": {"observation": 0, "action": -6, "frames": True},
}
HIDDEN = {"obs 17, act 6": [256, 256], "obs 4, act 1": [64, 64]}


def random_frames(size: dict[str, Any], n: int, start: int = 0) -> Any:
    """Return a workspace `[n, 1, ...]` of random transitions in episodes of 200 steps."""
    from workspace_rl import Workspace

    observation, action = size["observation"], size["action"]
    steps = torch.arange(start, start + n)
    done = (steps % 200 == 199).unsqueeze(1)
    if size.get("frames"):
        # Stacks as Atari games give them: where an episode starts, copies of its first picture.
        pictures = torch.randint(256, (n, 84, 84), dtype=torch.uint8)
        begin = (steps - steps % 200).clamp(min=start)
        stack = torch.maximum(steps.unsqueeze(1) - torch.arange(3, -1, -1), begin.unsqueeze(1)) - start
        observations = pictures[stack].unsqueeze(1)
    else:
        observations = torch.randn(n, 1, observation)
    frames = Workspace()
    frames.set_full("env/env_obs", observations)
    frames.set_full("action", torch.randint(-action, (n, 1)) if action < 0 else torch.rand(n, 1, action) * 2 - 1)
    frames.set_full("env/reward", torch.randn(n, 1))
    frames.set_full("env/terminated", done)
    frames.set_full("env/done", done)
    return frames


# ---- this library -------------------------------------------------------------------------------------------------


def filled_buffer(variables: Any, size: dict[str, Any], n: int, capacity: int | None = None, **options: Any) -> Any:
    """Return a replay buffer with `n` transitions, put in pieces of at most 1000 frames (100 pictures)."""
    from workspace_rl import ReplayBuffer

    stacked = {"env/env_obs": 4} if size.get("frames") else None
    buffer = ReplayBuffer(capacity or n, variables, stacked=stacked, **options)
    piece = 100 if stacked else 1000
    for start in range(0, n, piece):
        buffer.put(random_frames(size, min(piece, n - start), start))
    return buffer


def configuration(env: str, compiled: bool | str = True, **algorithm: Any) -> dict[str, Any]:
    parameters = {"total_steps": 10**8, "learning_starts": LEARNING_STARTS, "nb_evals": 1, "eval_interval": 10**8}
    return {
        "gym_env": {"env_name": env},
        "compile": compiled,
        "record_best": False,
        "algorithm": parameters | {"n_envs": 1, "batch_size": 256} | algorithm,
    }


def ours_sac(size: str, compiled: bool, algorithm: str = "sac", prioritized: Any = None, **options: Any) -> Any:
    """Return SAC, or a relative of it; `options` are of the configuration's first level, such as the device."""
    from workspace_rl.algos import ALGORITHMS

    sizes = {"actor_hidden_size": HIDDEN[size], "critic_hidden_size": [256, 256]}
    config = configuration("SpeedNoise-v0", compiled, architecture=sizes, prioritized=prioritized)
    config["gym_env"]["env_args"] = SIZES[size]
    return ALGORITHMS[algorithm](config | options)


def ours_crossq(width: int, **options: Any) -> Any:
    """Return CrossQ with critics of two layers of `width` units; `options` are of the configuration's first level."""
    from workspace_rl.algos import CrossQ

    size = "obs 17, act 6"
    sizes = {"actor_hidden_size": HIDDEN[size], "critic_hidden_size": [width, width]}
    config = configuration("SpeedNoise-v0", architecture=sizes)
    config["gym_env"]["env_args"] = SIZES[size]
    return CrossQ(config | options)


def ours_dqn(size: str, compiled: bool, matmul_precision: str = "auto", **more: Any) -> Any:
    from workspace_rl.algos import DQN

    frames = bool(SIZES[size].get("frames"))
    network = {"network": "nature_cnn", "hidden_size": [512]} if frames else {"hidden_size": [128, 128]}
    # The target is copied so often that the update which copies is compiled before it is measured.
    options = {"batch_size": 32 if frames else 128, "max_grad_norm": 10, "target_update_interval": 20}
    config = configuration("SpeedNoise-v0", compiled, architecture=network, **options, **more)
    config["gym_env"]["env_args"] = SIZES[size]
    return DQN(config | {"matmul_precision": matmul_precision})


def ours_update(algorithm: Any, buffer: Any) -> Here:
    """One update: sample and learn, at the precision that the algorithm has chosen."""
    batch_size = algorithm.config.algorithm.batch_size
    return Here(lambda: algorithm.learn(buffer.sample(batch_size)), algorithm.config.matmul_precision)


def ours_training(turns: Turns, env: str) -> None:
    from workspace_rl.algos import SAC

    class Paced(SAC):
        def learn(self, batch):
            if self.n_updates == 0:
                turns.ready(precision=self.config.matmul_precision)
            turns.next()
            return super().learn(batch)

    with tempfile.TemporaryDirectory() as folder:
        config = configuration(env, n_steps=1, updates_per_collect=1, random_steps=LEARNING_STARTS)
        Paced(config | {"base_dir": f"{folder}/run"}).train(progress=False)


def ours_policy(env: str, n_envs: int) -> Any:
    """Return the algorithm whose policy collects: epsilon-greedy values, or a squashed Gaussian."""
    from workspace_rl.algos import DQN, SAC

    if env.startswith("CartPole"):
        architecture = {"hidden_size": [64, 64]}
        options = {"epsilon_start": 0.1, "epsilon_end": 0.1}
        return DQN(configuration(env, False, n_envs=n_envs, architecture=architecture, **options))
    architecture = {"actor_hidden_size": [64, 64], "critic_hidden_size": [64, 64]}
    return SAC(configuration(env, False, n_envs=n_envs, architecture=architecture))


def ours_collecting(env: str, n_envs: int, n_steps: int) -> Callable[[], Any]:
    """One collection of `n_steps` steps, put into the ring."""
    from workspace_rl import ReplayBuffer
    from workspace_rl.experience.collector import Collector

    algorithm = ours_policy(env, n_envs)
    collector = Collector(algorithm.train_env, algorithm.policy)
    buffer = ReplayBuffer(TRANSITIONS, algorithm.stored_variables)
    return lambda: buffer.put(collector.collect(n_steps))


# ---- stable-baselines3 and SBX ------------------------------------------------------------------------------------


def peer_sac(package: str, size: str, algorithm: str = "SAC", **options: Any) -> Any:
    """Return SAC of stable-baselines3 or of sbx, or a relative of it, its replay buffer full of random transitions."""
    network = {"net_arch": {"pi": HIDDEN[size], "qf": [256, 256]}}
    env = gym.make("SpeedNoise-v0", **SIZES[size])
    made_by = getattr(__import__(package), algorithm)
    return fill_sb3(made_by("MlpPolicy", env, buffer_size=TRANSITIONS, policy_kwargs=network, **options))


def sb3_crossq(width: int) -> Any:
    """Return CrossQ of sb3-contrib, likewise, its replay buffer full of random transitions."""
    from sb3_contrib import CrossQ

    size = "obs 17, act 6"
    network = {"net_arch": {"pi": HIDDEN[size], "qf": [width, width]}}
    env = gym.make("SpeedNoise-v0", **SIZES[size])
    return fill_sb3(CrossQ("MlpPolicy", env, buffer_size=TRANSITIONS, policy_kwargs=network, device="cpu"))


def sb3_dqn(size: str, n: int) -> Any:
    from stable_baselines3 import DQN

    env = gym.make("SpeedNoise-v0", **SIZES[size])
    if SIZES[size].get("frames"):
        return fill_sb3(DQN("CnnPolicy", env, buffer_size=n, batch_size=32, device="cpu"))
    network = {"net_arch": [128, 128]}
    return fill_sb3(DQN("MlpPolicy", env, buffer_size=n, batch_size=128, policy_kwargs=network, device="cpu"))


def fill_sb3(model: Any) -> Any:
    from stable_baselines3.common.logger import Logger

    model._setup_learn(100)
    model._logger = Logger(None, [])
    buffer, random = model.replay_buffer, np.random.default_rng(0)
    for values in (buffer.observations, buffer.next_observations):
        for row in values:  # one at a time: pictures are many
            row[:] = random.integers(256, size=row.shape) if row.dtype == np.uint8 else random.normal(size=row.shape)
    discrete = isinstance(model.action_space, gym.spaces.Discrete)
    shape = buffer.actions.shape
    buffer.actions[:] = random.integers(model.action_space.n, size=shape) if discrete else random.uniform(-1, 1, shape)
    buffer.rewards[:] = random.normal(size=buffer.rewards.shape)
    buffer.full = True
    return model


def sbx_updates(turns: Turns, size: str, per_call: int) -> None:
    """A unit is `per_call` updates."""
    model = peer_sac("sbx", size)
    turns.ready(**versions("sbx-rl", "jax", "flax", "stable-baselines3"))
    while True:
        turns.next()
        model.train(per_call, 256)


def peer_training(turns: Turns, package: str, env: str, precision: str = "highest") -> None:
    from stable_baselines3.common.callbacks import BaseCallback

    class Paced(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps == LEARNING_STARTS:
                turns.ready(**(versions("sbx-rl", "jax", "flax", "stable-baselines3") if package == "sbx" else {}))
            if self.num_timesteps >= LEARNING_STARTS:
                turns.next()
            return True

    torch.set_float32_matmul_precision(precision)
    model = __import__(package).SAC("MlpPolicy", env, learning_starts=LEARNING_STARTS, device="cpu")
    model.learn(10**8, callback=Paced())


# ---- BBRL ---------------------------------------------------------------------------------------------------------


def bbrl_actor(sizes: list[int], actions: int) -> Any:
    """Return the squashed Gaussian actor of BBRL's notebook."""
    from bbrl.agents import Agent
    from bbrl_utils.nn import build_mlp
    from torch import nn
    from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

    class Actor(Agent):
        def __init__(self):
            super().__init__()
            self.backbone = build_mlp(sizes, activation=nn.ReLU(), output_activation=nn.ReLU())
            self.mean, self.std = nn.Linear(sizes[-1], actions), nn.Linear(sizes[-1], actions)
            self.squash = TanhTransform(cache_size=1)

        def forward(self, t, **kwargs):
            features = self.backbone(self.get(("env/env_obs", t)))
            std = nn.functional.softplus(self.std(features)) + 1e-4
            policy = TransformedDistribution(Independent(Normal(self.mean(features), std), 1), [self.squash])
            action = policy.rsample()
            self.set(("action", t), action)
            self.set(("action_logprobs", t), policy.log_prob(action))
            self.squash._cached_x_y = (None, None)

    return Actor()


def bbrl_sac(size: str) -> Callable[[], None]:
    """One update of SAC as its notebook writes it, without its log."""
    from bbrl.agents import Agent, Agents, TemporalAgent
    from bbrl.utils.replay_buffer import ReplayBuffer
    from bbrl.workspace import Workspace
    from bbrl_utils.nn import build_mlp, soft_update_params
    from torch import nn

    class Critic(Agent):
        def __init__(self, sizes):
            super().__init__()
            self.model = build_mlp(sizes, activation=nn.ReLU())

        def forward(self, t, **kwargs):
            inputs = torch.cat((self.get(("env/env_obs", t)), self.get(("action", t))), dim=1)
            self.set((f"{self.prefix}q_value", t), self.model(inputs).squeeze(-1))

    observation, actions = SIZES[size]["observation"], SIZES[size]["action"]
    actor = bbrl_actor([observation, *HIDDEN[size]], actions)
    critics = [Critic([observation + actions, 256, 256, 1]).with_prefix(f"critic-{one}/") for one in (1, 2)]
    targets = [copy.deepcopy(critic).with_prefix(f"target-{critic.prefix}") for critic in critics]
    log_coefficient = nn.Parameter(torch.zeros(1))
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=3e-4)
    critic_optimizer = torch.optim.Adam([one for critic in critics for one in critic.parameters()], lr=3e-4)
    coefficient_optimizer = torch.optim.Adam([log_coefficient], lr=3e-4)
    t_actor, t_critics, t_targets = (
        TemporalAgent(actor),
        TemporalAgent(Agents(*critics)),
        TemporalAgent(Agents(*targets)),
    )

    buffer, frames = ReplayBuffer(TRANSITIONS), Workspace()
    values = random_frames(SIZES[size], TRANSITIONS)
    for name in ("env/env_obs", "action", "env/reward", "env/terminated"):
        value = values.get_full(name).transpose(0, 1)
        frames.set_full(name, torch.cat((value, value.roll(-1, dims=1))))
    buffer.put(frames)

    def step(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def update() -> None:
        batch = buffer.get_shuffled(256)
        coefficient = log_coefficient.detach().exp()
        t_critics(batch, t=0, n_steps=1)
        with torch.no_grad():
            t_actor(batch, t=1, n_steps=1)
            t_targets(batch, t=1, n_steps=1)
        reward, terminated, log_probs = batch["env/reward", "env/terminated", "action_logprobs"]
        next_1, next_2 = batch["target-critic-1/q_value", "target-critic-2/q_value"]
        next_value = torch.min(next_1[1], next_2[1]) - coefficient * log_probs[1]
        goal = (reward[1] + 0.99 * ~terminated[1] * next_value).detach()
        losses = [nn.functional.mse_loss(batch[f"{critic.prefix}q_value"][0], goal) for critic in critics]
        step(critic_optimizer, losses[0] + losses[1])
        t_actor(batch, t=0, n_steps=1)
        t_critics(batch, t=0, n_steps=1)
        log_probs = batch["action_logprobs"][0]
        q_1, q_2 = batch["critic-1/q_value", "critic-2/q_value"]
        step(actor_optimizer, (coefficient * log_probs - torch.min(q_1[0], q_2[0])).mean())
        step(coefficient_optimizer, -(log_coefficient * (log_probs.detach() - actions)).mean())
        for critic, target in zip(critics, targets, strict=True):
            soft_update_params(critic, target, 0.005)

    return update


def bbrl_collecting(env: str, n_envs: int, n_steps: int, act: Callable[[Any], Any] | None) -> Callable[[], None]:
    """Collect as BBRL's algorithms do, storing transitions; or with the policy `act`, without gradients or storing."""
    from bbrl.agents import Agent, Agents, TemporalAgent
    from bbrl.agents.gymnasium import ParallelGymAgent, make_env
    from bbrl.utils.replay_buffer import ReplayBuffer
    from bbrl.workspace import Workspace

    class Policy(Agent):
        def __init__(self, act):
            super().__init__()
            self.act = act

        def forward(self, t, **kwargs):
            self.set(("action", t), self.act(self.get(("env/env_obs", t))))

    env_agent = ParallelGymAgent(partial(make_env, env, autoreset=True), n_envs).seed(1)
    discrete = env.startswith("CartPole")
    policy = Policy(act or bare_policy(env)) if act or discrete else bbrl_actor([3, 64, 64], 1)
    agent, workspace, buffer = TemporalAgent(Agents(env_agent, policy)), Workspace(), ReplayBuffer(TRANSITIONS)
    agent(workspace, t=0, n_steps=n_steps + 1)

    def collect() -> None:
        with torch.set_grad_enabled(act is None):
            workspace.zero_grad()
            workspace.copy_n_last_steps(1)
            agent(workspace, t=1, n_steps=n_steps)
        if act is None:
            buffer.put(workspace.get_transitions())

    return collect


# ---- bare loops ---------------------------------------------------------------------------------------------------


def bare_policy(env: str) -> Callable[[Any], Any]:
    """Return the policy of `ours_policy` as plain torch, from observations to actions in the space's units."""
    algorithm = ours_policy(env, 1)
    if env.startswith("CartPole"):
        body, head = algorithm.q_agent.body, algorithm.q_agent.head

        def act(observation):
            q_values = head(body(observation))
            action = q_values.argmax(-1)
            explore = torch.rand(action.shape) < 0.1
            return torch.where(explore, torch.randint_like(action, q_values.shape[-1]), action)

    else:
        actor, scale = algorithm.actor, torch.from_numpy(algorithm.train_env.action_space.high)

        def act(observation):
            features = actor.body(observation)
            mean, log_std = actor.mean(features), actor.log_std(features).clamp(-20, 2)
            return torch.tanh(mean + log_std.exp() * torch.randn_like(mean)) * scale

    return act


def gymnasium_loop(env: str, n_envs: int, n_steps: int, act: Callable[[Any], Any]) -> Callable[[], None]:
    """gymnasium's vector environment and a policy, nothing else."""
    envs = gym.vector.SyncVectorEnv([partial(gym.make, env)] * n_envs)
    return _loop(envs, envs.reset(seed=0)[0], n_steps, act)


def sb3_loop(env: str, n_envs: int, n_steps: int, act: Callable[[Any], Any]) -> Callable[[], None]:
    """stable-baselines3's vector environment and a policy, nothing else."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    envs = DummyVecEnv([partial(gym.make, env)] * n_envs)
    return _loop(envs, envs.reset(), n_steps, act)


def _loop(envs: Any, observation: Any, n_steps: int, act: Callable[[Any], Any]) -> Callable[[], None]:
    @torch.no_grad()
    def run() -> None:
        nonlocal observation
        for _ in range(n_steps):
            observation = envs.step(act(torch.from_numpy(observation)).numpy())[0]

    return run


# ---- measured once, in a fresh process ------------------------------------------------------------------------------


def resident() -> int:
    """Return the bytes of memory that this process occupies."""
    with open("/proc/self/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(buffer: str, size: str, n: int) -> dict[str, float]:
    """Fill a replay buffer of `n` transitions, and return the bytes that each takes."""
    variables = ("env/env_obs", "action", "env/reward", "env/terminated")
    if buffer == "ours":
        filled_buffer(variables, SIZES[size], 1000)  # so that torch's own memory is claimed before
        before = resident()
        kept = filled_buffer(variables, SIZES[size], n)
    else:
        from stable_baselines3.common.buffers import ReplayBuffer

        env, optimised = Noise(**SIZES[size]), buffer == "SB3, optimised"
        options = {"optimize_memory_usage": optimised, "handle_timeout_termination": not optimised}
        before = resident()
        kept = ReplayBuffer(n, env.observation_space, env.action_space, device="cpu", **options)
        for values in vars(kept).values():
            if isinstance(values, np.ndarray):
                values.fill(1)
    used = resident() - before
    assert kept is not None
    return {"bytes": used / n}


def first_update(size: str) -> dict[str, float]:
    """Return the seconds of the first compiled update, and of the second."""
    algorithm = ours_sac(size, True)
    buffer = filled_buffer(algorithm.stored_variables, SIZES[size], 2000)
    update = ours_update(algorithm, buffer)
    return {"first": update(1)[1], "second": update(1)[1]}


def versions(*names: str) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in names}


WORKERS: dict[str, Callable[..., None]] = {
    "ours-training": ours_training,
    "peer-training": peer_training,
    "sbx-updates": sbx_updates,
}
PROBES: dict[str, Callable[..., dict[str, float]]] = {"memory": memory, "first-update": first_update}


def probe(kind: str, environment: dict[str, str] | None = None, **arguments: Any) -> dict[str, float]:
    """Return what a probe finds in a fresh process."""
    command = [sys.executable, __file__, kind, json.dumps(arguments)]
    answer = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=os.environ | (environment or {})
    ).stdout
    return json.loads(answer.splitlines()[-1])


if __name__ == "__main__":
    settle()
    kind, arguments = sys.argv[1], json.loads(sys.argv[2])
    if kind in PROBES:
        print(json.dumps(PROBES[kind](**arguments)))
    else:
        WORKERS[kind](Turns(), **arguments)
