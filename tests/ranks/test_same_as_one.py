"""Two ranks of half a batch learn what one learns from the whole batch."""

import pytest
import torch

from tests.ranks.processes import on_ranks, values
from workspace_rl import Workspace
from workspace_rl.agent import before, state_variables
from workspace_rl.agents.actors import LOG_STD_MAX, LOG_STD_MIN, SquashedGaussianActor, squashed_gaussian_log_prob
from workspace_rl.algos import ALGORITHMS
from workspace_rl.machine.interrupts import StopRequest
from workspace_rl.ranks import Alone, ranks_of_this_program

ROWS, UPDATES = 32, 100
ENVIRONMENTS = {"sac": "Pendulum-v1", "td3": "Pendulum-v1", "dqn": "CartPole-v1"}
REMEMBERING, PRIORITISED = "sac with memory", "dqn by priorities"


class FedActor(SquashedGaussianActor):
    """The actor of SAC with noise that batches bring: the same for the same row, whoever learns from it."""

    def forward(self, t, log_prob=True, **kwargs):
        features = self.body(self.get((self.observation_variable, t)))
        noise, log_std = self.get(("noise", t)), self.log_std(features).clamp(LOG_STD_MIN, LOG_STD_MAX)
        u = self.mean(features) + log_std.exp() * noise
        self.set(("action", t), torch.tanh(u))
        self.set(("action_logprobs", t), squashed_gaussian_log_prob(noise, log_std, u))


def config_of(name, compiled):
    networks = {"actor_hidden_size": [16], "critic_hidden_size": [16]}
    sequences = {}
    if name == REMEMBERING:
        name, networks["memory"] = "sac", {"kind": "gru", "size": 4}
        sequences = {"sequence_length": 3, "burn_in": 2}
    if name == PRIORITISED:
        name, sequences = "dqn", {"prioritized": {}}
    parameters = {
        "total_steps": 20_000,
        "n_envs": 1,
        "batch_size": ROWS,
        "max_grad_norm": 0.5,
        "architecture": {"hidden_size": [16]} if name == "dqn" else networks,
    } | sequences
    if name == "td3":
        parameters["policy_noise"] = 0.0  # drawn within an update, so not the same for the same row
    return {"gym_env": {"env_name": ENVIRONMENTS[name]}, "algorithm": parameters, "compile": compiled}


def batches(algorithm, rows):
    """Yield batches as a replay buffer gives them: of each batch, `rows`."""
    env, generator = algorithm.train_env, torch.Generator().manual_seed(5)
    dtype, size = torch.get_default_dtype(), (algorithm.parameters.window, ROWS)
    for _ in range(UPDATES):
        batch = Workspace()
        kinds = {
            "env/env_obs": torch.randn(*size, env.observation_size, generator=generator),
            "env/reward": torch.randn(size, generator=generator),
            "action": torch.rand(*size, env.action_size, generator=generator) * 2 - 1,
            "noise": torch.randn(*size, env.action_size, generator=generator),
        }
        if env.action_kind == "discrete":
            kinds["action"] = torch.randint(env.action_size, size, generator=generator)
        for name in state_variables(algorithm.policy):
            kinds[before(name)] = torch.randn(1, ROWS, 4, generator=generator)
        if algorithm.parameters.prioritized is not None:
            kinds["weight"] = torch.rand(ROWS, generator=generator).expand(size)
        for name, value in kinds.items():
            kinds[name] = value.to(dtype) if value.is_floating_point() else value
        # As many of one half as of the other: each averages over what counts.
        ends = (torch.rand(size[0], ROWS // 2, generator=generator) < 0.1).repeat_interleave(2, 1)
        kinds |= {"env/terminated": ends, "env/done": ends, "env/timestep": timesteps(ends)}
        for name, value in kinds.items():
            batch.set_full(name, value[:, rows].contiguous())
        yield batch


def timesteps(done):
    """Return the steps of episodes that end where `done` (`[T, B]`) says so, the first ones at step 5."""
    found = [torch.full_like(done[0], 5, dtype=torch.int64)]
    for ended in done[:-1]:
        found.append((found[-1] + 1) * ~ended)
    return torch.stack(found)


def learned(name, dtype, compiled, ranks, rows):
    """Return what each update measures, and the weights after them."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        algorithm = ALGORITHMS[name.partition(" ")[0]](config_of(name, compiled))
        algorithm.train_env.close()
        if name.startswith("sac"):
            algorithm.actor.__class__ = FedActor
        with ranks, ranks.turns(StopRequest()):
            measured = [algorithm.learn(batch) for batch in batches(algorithm, rows)]
            assert (algorithm.learner.compiled is not None and not algorithm.learner.compiled._eager) == compiled
            ranks.check_equal(algorithm.learner.weights, "at the end")
        weights = {name: one.detach().clone() for name, one in algorithm.learner.weights().items()}
        return measured, weights
    finally:
        torch.set_default_dtype(before)


CASES = [
    ("sac", torch.float64, False),
    ("sac", torch.float64, True),
    ("sac", torch.float32, False),
    ("td3", torch.float64, False),
    ("dqn", torch.float64, False),
    (REMEMBERING, torch.float64, False),
    (PRIORITISED, torch.float64, False),
]


def halves():
    """Return what each rank's half leads to, case by case."""
    found = {}
    for name, dtype, compiled in CASES:
        ranks = ranks_of_this_program()
        rows = slice(ranks.rank, None, ranks.size)
        found[name, dtype, compiled] = learned(name, dtype, compiled, ranks, rows)
    return found


@pytest.fixture(scope="module")
def both():
    return values(on_ranks(halves))


@pytest.mark.parametrize("name, dtype, compiled", CASES)
def test_two_halves_are_the_whole(both, name, dtype, compiled):
    measured, weights = learned(name, dtype, compiled, Alone(), slice(None))
    exact = dtype == torch.float64
    (first, one), (second, other) = (rank[name, dtype, compiled] for rank in both)
    assert all(torch.equal(one[key], other[key]) for key in one)
    for key, expected in weights.items():
        torch.testing.assert_close(one[key], expected, rtol=0, atol=1e-9 if exact else 2e-3)
    assert len(measured) == UPDATES
    for number, expected in enumerate(measured if exact else measured[:1]):
        for key, value in expected.items():
            parts = first[number][key], second[number][key]
            # Numbers of the batch are means; the errors of its rows, by which windows are drawn, are of each rank's.
            both_parts = torch.stack(parts, 1).flatten() if value.ndim else sum(parts) / 2
            torch.testing.assert_close(both_parts, value, rtol=0 if exact else 1e-5, atol=1e-9 if exact else 1e-6)
    assert any(not torch.equal(first[0][key], second[0][key]) for key in measured[0])  # of different rows
