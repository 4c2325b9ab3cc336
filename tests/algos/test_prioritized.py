"""Algorithms that learn from windows drawn by priorities: what is learned, what comes back, and what goes on."""

import pytest
import torch
from torch.nn import functional

from tests.algos.test_off_policy_memory import GRU, algorithm
from tests.collectors.test_fleet import outcome
from tests.runs.test_checkpoint import train_until
from workspace_rl import Workspace
from workspace_rl.algos import DDPG, DQN, SAC, TD3, TQC, CrossQ, SACDiscrete
from workspace_rl.errors import CompositionError, ConfigError, ReplayBufferError
from workspace_rl.experience import Replay, ReplayBuffer
from workspace_rl.learning import ROW_ERRORS, batch_mean, plain_mean


def dqn(tmp_path, cls=DQN, memory=None, **parameters):
    return algorithm(cls, tmp_path, memory, **{"prioritized": {"exponent": 0.5, "epsilon": 0.01}, **parameters})


def ready(one, n=3):
    """Return its experience, with some fragments, ready to be drawn from."""
    with one.random_state:
        experience, collectors = one.make_parts()
        collectors.start()
        for _ in range(n):
            for fragment in collectors.collect(0):
                experience.put(fragment)
        collectors.close()
    assert experience.ready(100)
    return experience


@pytest.mark.parametrize("n_step_return", [1, 3])
def test_an_update_weighs_its_loss_and_tells_its_errors(n_step_return, tmp_path):
    """Huber's losses times weights, over all rows; priorities are those of the errors, of the windows drawn alone."""
    one = dqn(tmp_path, n_step_return=n_step_return, batch_size=16, prioritized={"exponent": 0.5, "epsilon": 0.01})
    experience = ready(one)
    drawn = experience.buffer.prioritized
    # After 100 of 200 transitions beta is half the way from 0.4 to 1.
    assert drawn.importance_exponent == pytest.approx(0.7)
    for number in range(3):
        batch = next(experience.batches())
        weight = batch["weight"]
        assert weight.shape == (n_step_return + 1, 16) and weight.max() == 1
        assert (weight.min() < 1) == (number > 0)
        with torch.no_grad():
            workspace = one.transitions(batch)
            one.target_policy(workspace, t=1)
            one.q_agent(workspace, t=0)
            rows = torch.arange(16)
            y = workspace.get("target-q/q_values", 1)[rows, workspace.get("action", 1)]
            y = workspace.get("env/reward", 1) + workspace.get("discount", 1) * y
            q_values = workspace.get("q/q_values", 0)
            q = q_values[rows, batch["action"][0]]
        metrics = one.learn(batch)
        errors = metrics.pop(ROW_ERRORS)
        torch.testing.assert_close(errors, (q - y).abs())
        expected = (weight[0] * functional.huber_loss(q, y, reduction="none")).sum() / 16
        torch.testing.assert_close(metrics["loss/critic"], expected)
        torch.testing.assert_close(metrics["q_value/mean"], q_values.mean())
        assert all(value.ndim == 0 for value in metrics.values())
        experience.learned(errors)
        expected = (errors + 0.01).sqrt()
        torch.testing.assert_close(torch.from_numpy(drawn._all[drawn._drawn]), expected)


@pytest.mark.parametrize("cls", [DDPG, TD3, SAC, SACDiscrete])
def test_the_error_of_a_transition_is_the_mean_of_its_critics(cls, tmp_path):
    options = {"policy_noise": 0.0} if cls is TD3 else {}
    one = algorithm(cls, tmp_path, None, prioritized={}, **options)
    batch = next(ready(one).batches())
    batch.set_full("weight", torch.tensor([1.0, 0.5, 0.5, 0.25, 1.0]).repeat(2, 1))
    with torch.no_grad():
        workspace = one.transitions(batch)
        y = workspace.get("env/reward", 1)
        if cls in (
            SAC,
            SACDiscrete,
        ):  # nothing lies ahead, so that the action that would be drawn there does not matter
            batch.set_full("env/terminated", torch.ones(2, 5, dtype=torch.bool))
        else:
            one.target_policy(workspace, t=1)
            one.target_critic(workspace, t=1)
            y = y + workspace.get("discount", 1) * workspace.get("target-critic/q_values", 1).amin(-1)
        one.critic(workspace, t=0)
        q_values = workspace.get("critic/q_values", 0)
        of_action = q_values[range(5), batch["action"][0]] if cls is SACDiscrete else q_values
        errors = of_action - y.unsqueeze(-1)
    metrics = one.learn(batch)
    torch.testing.assert_close(metrics[ROW_ERRORS], errors.abs().mean(-1))
    expected = (batch["weight"][0].unsqueeze(-1) * errors.square()).sum() / 5
    torch.testing.assert_close(metrics["loss/critic"], expected)
    torch.testing.assert_close(metrics["q_value/mean"], q_values.mean())


@pytest.mark.parametrize("cls", [TQC, CrossQ])
def test_relatives_of_sac_tell_errors_of_their_own(cls, tmp_path, monkeypatch):
    """CrossQ those of both steps' pass; TQC its loss of each transition, as DQN does with quantiles."""
    one = algorithm(cls, tmp_path, None, prioritized={})
    batch, seen, loss_of = next(ready(one).batches()), [], one.critic_loss
    weight = torch.tensor([1.0, 0.5, 0.5, 0.25, 1.0])
    batch.set_full("weight", weight.repeat(2, 1))
    monkeypatch.setattr(
        one, "critic_loss", lambda workspace, coef: (seen.append((workspace, coef)), loss_of(*seen[0]))[1]
    )
    metrics = one.learn(batch)
    ((workspace, coef),) = seen
    entropy = coef * workspace.get("action_logprobs", 1)
    reward, discount = workspace.get("env/reward", 1), workspace.get("discount", 1)
    if cls is CrossQ:
        y = reward + discount * (workspace.get("critic/q_values", 1).amin(-1) - entropy)
        errors = (workspace.get("critic/q_values", 0) - y.unsqueeze(-1)).detach()
        expected, losses = errors.abs().mean(-1), errors.square().sum(-1)
    else:
        ahead = workspace.get("target-critic/quantiles", 1).flatten(1).sort().values[:, : 2 * 23] - entropy.unsqueeze(
            -1
        )
        y = (reward.unsqueeze(-1) + discount.unsqueeze(-1) * ahead).view(5, 1, 1, -1)
        errors = y - workspace.get("critic/quantiles", 0).detach().unsqueeze(-1)
        levels = (torch.arange(25).view(-1, 1) + 0.5) / 25
        huber = functional.huber_loss(errors, torch.zeros_like(errors), reduction="none")
        expected = losses = ((levels - errors.lt(0).float()).abs() * huber).mean((1, 2, 3))
    torch.testing.assert_close(metrics[ROW_ERRORS], expected)
    torch.testing.assert_close(metrics["loss/critic"], (weight * losses).sum() / 5)


def test_the_error_of_a_sequence_is_the_greatest_and_the_mean_of_those_that_count(tmp_path):
    one = dqn(tmp_path, memory=GRU, prioritized={"greatest_share": 0.75})
    batch = next(ready(one, 6).batches())
    assert batch["weight"].shape == (3 + 4 + 1, 5)
    transitions = one.transitions(batch)
    assert transitions.get("weight", 0).shape == (20,)
    workspace = Workspace()
    # Two sequences of four transitions: the second one's ends after one of them.
    workspace.set("weight", 0, torch.tensor([0.5, 0.25, 0.5, 0.0, 0.5, 0.0, 0.5, 0.0]))
    errors = torch.tensor([1.0, -3.0, -2.0, 50.0, 0.0, 50.0, 1.0, 50.0])
    found = one.row_errors(errors, workspace)[ROW_ERRORS]
    assert found.tolist() == [0.75 * 2 + 0.25 * 1, 3.0]


def test_weights_of_sequences_are_those_of_the_windows_where_transitions_count(tmp_path):
    one = dqn(tmp_path, memory=GRU)
    experience = ready(one, 6)
    with one.random_state:  # always the same windows, some of which have transitions that do not count
        batch = next(experience.batches())
    importance = torch.tensor([1.0, 0.5, 0.25, 0.75, 0.125])
    batch.set_full("weight", importance.repeat(8, 1))
    found = one.transitions(batch).get("weight", 0).view(4, 5)
    batch.set_full("weight", torch.ones(8, 5))
    count = one.transitions(batch).get("weight", 0).view(4, 5)
    assert {*count.flatten().tolist()} == {0.0, 1.0}
    assert found.equal(count * importance)


def test_means_are_of_rows_that_count_and_of_what_weights_leave_of_them():
    workspace, x = Workspace(), torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    for mean in (batch_mean, plain_mean):
        assert mean(x, workspace).tolist() == pytest.approx([7 / 3, 70 / 3])
    workspace.set("weight", 0, torch.tensor([0.5, 0.0, 0.25]))
    assert batch_mean(x, workspace).tolist() == [(0.5 + 1) / 2, 7.5]
    assert batch_mean(x, workspace, dim=None).item() == (0.75 + 7.5) / 2
    assert plain_mean(x, workspace).tolist() == [2.5, 25.0]
    assert plain_mean(x, workspace, dim=None).item() == 13.75
    workspace.set("weight", 0, torch.zeros(3))
    assert batch_mean(x, workspace).tolist() == plain_mean(x, workspace).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("cls", "memory"), [(DQN, GRU), *((cls, None) for cls in (DQN, SAC, TQC, CrossQ, SACDiscrete, TD3, DDPG))]
)
def test_a_run_is_resumed_bit_for_bit(cls, memory, tmp_path):
    paths = [tmp_path / "one", tmp_path / "two"]
    whole, stopped = (dqn(path, cls, memory, buffer_size=120, n_step_return=2) for path in paths)
    whole.train(progress=False)
    train_until(stopped, 12)
    cls.restore(paths[1] / "run").train(progress=False)
    assert outcome(paths[0] / "run") == outcome(paths[1] / "run")


def test_collectors_give_the_same_wherever_they_are_and_when_they_go_on(tmp_path):
    paths = [tmp_path / "one", tmp_path / "two"]
    for path, where in zip(paths, ("process", "local"), strict=True):
        one = dqn(path, collectors={"n": 2, "where": where}, n_step_return=3, buffer_size=150)
        if where == "process":
            one.train(progress=False)
        else:
            train_until(one, 6)
            DQN.restore(path / "run").train(progress=False)
    assert outcome(paths[0] / "run") == outcome(paths[1] / "run")


def test_free_collectors_give_priorities_too(tmp_path):
    one = dqn(tmp_path, collectors={"n": 2, "where": "process", "mode": "free"})
    result = one.train(progress=False)
    assert one.n_updates > 5 and result.steps >= 200


class Silent(DQN):
    """Does not say that it gives priorities."""

    gives_priorities = False


class Forgetful(DQN):
    """Says that it gives priorities, and gives none."""

    def update(self, batch, **flags):
        metrics = super().update(batch, **flags)
        metrics.pop(ROW_ERRORS)
        return metrics


def test_algorithms_that_give_no_priorities_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"algorithm.prioritized: null expected, since Silent .*gives_priorities"):
        dqn(tmp_path, Silent)
    assert not (tmp_path / "run").exists()
    with pytest.raises(CompositionError, match="the update has told nothing of the last batch.*row_errors"):
        dqn(tmp_path, Forgetful).train(progress=False)


def test_errors_of_what_is_drawn_uniformly_are_refused():
    replay = Replay(ReplayBuffer(9, ["x"]), batch_size=2)
    with pytest.raises(ReplayBufferError, match=r"draws uniformly: make it by ReplayBuffer\(..., priorities="):
        replay.learned(torch.zeros(2))
