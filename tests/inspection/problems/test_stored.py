"""Mistakes of docs/composition-mistakes.md with stored values: stale ones, and rewards of another step."""

import pytest
import torch

from tests.inspection.pieces import actor, batch, critic, using
from tests.mistakes import expect
from workspace_rl import check, minimise, setup_optimizer
from workspace_rl.algos import SAC
from workspace_rl.algos.ddpg import critic_loss as ddpg_loss
from workspace_rl.algos.sac import critic_loss
from workspace_rl.composition import KWAgentWrapper
from workspace_rl.experience.returns import n_step_transitions


class StaleLogProbs(SAC):
    """Stores the policy's log-probabilities, and forgets to compute those of the fresh actions."""

    stored_variables = (*SAC.stored_variables, "action_logprobs")

    def build(self):
        super().build()
        self.policy = self.actor
        self.target_actor = KWAgentWrapper(self.actor, log_prob=False)

    def update(self, batch):
        workspace = n_step_transitions(batch, 0.99)
        self.target_actor(workspace, t=1)
        self.target_critic(workspace, t=1)
        self.critic(workspace, t=0)
        return {"loss": minimise(critic_loss(workspace, self.entropy_coef().detach()), self.critic_optimizer)}


def test_8_the_replayed_log_probabilities_of_fresh_actions(tiny_sac):
    problems = check(StaleLogProbs(tiny_sac))
    expect(problems, 8, "stale", "function 'critic_loss'", "'action_logprobs' at step 1", "fresh one of agent 'actor'")


class NoNextAction(SAC):
    def update(self, batch):
        workspace = n_step_transitions(batch, 0.99)
        self.target_critic(workspace, t=1)
        self.critic(workspace, t=0)
        target = workspace.get("env/reward", 1) + workspace.get("target-critic/q_values", 1).amin(-1)
        loss = (workspace.get("critic/q_values", 0) - target.unsqueeze(-1)).square().mean()
        return {"loss": minimise(loss, self.critic_optimizer)}


@pytest.mark.parametrize("n_steps", [1, 3])
def test_9_a_target_of_the_replayed_next_action(tiny_sac, n_steps):
    tiny_sac["algorithm"]["n_step_return"] = n_steps
    problems = check(NoNextAction(tiny_sac))
    expect(problems, 9, "stale", "'target-critic'", "'action' at step 1", "run it in the update at t=1 first")


def learning(*at_the_next_step, needs_log_probabilities=True):
    """Return an update that runs these agents at t=1, all of them in its closure."""
    judge = critic()
    target = judge.clone().with_prefix("target-critic/").set_name("target-critic")
    optimizer = setup_optimizer({"classname": "torch.optim.Adam", "lr": 1e-3}, judge)

    def update(batch):
        workspace = n_step_transitions(batch, 0.99)
        with torch.no_grad():
            for agent in (*at_the_next_step, target):
                agent(workspace, t=1)
        judge(workspace, t=0)
        loss = critic_loss(workspace, torch.tensor(0.1)) if needs_log_probabilities else ddpg_loss(workspace)
        return {"loss": minimise(loss, optimizer)}

    return update


def test_8_in_a_function_of_a_batch():
    problems = check(learning(KWAgentWrapper(actor(), log_prob=False)), inputs=batch())
    expect(problems, 8, "stale", "function 'critic_loss'", "'action_logprobs' at step 1", "fresh one of agent 'actor'")
    assert not check(learning(KWAgentWrapper(actor(), log_prob=True)), inputs=batch())


@pytest.mark.parametrize("n_steps", [1, 3])
def test_9_in_a_function_of_a_batch(n_steps):
    problems = check(learning(needs_log_probabilities=False), inputs=batch(n_steps))
    expect(problems, 9, "stale", "'target-critic'", "'action' at step 1", "what the policy chose")


class EarlyReward(SAC):
    def update(self, batch):
        workspace = n_step_transitions(batch, 0.99)
        self.critic(workspace, t=0)
        errors = workspace.get("critic/q_values", 0) - workspace.get("env/reward", 0).unsqueeze(-1)
        return {"loss": minimise(errors.square().mean(), self.critic_optimizer)}


def test_13_the_reward_of_the_action_before(tiny_sac):
    expect(check(EarlyReward(tiny_sac)), 13, "time", "'env/reward' at step 0", "read step 1")


@pytest.mark.parametrize(
    ("reward", "kinds", "noted"),
    [
        (lambda reward: reward[1], [], []),
        (lambda reward: reward[1:].squeeze(0), [], []),
        (lambda reward: reward[0, :5], ["time"], []),
        (lambda reward: reward[-2], ["time"], []),
        (lambda reward: reward.clamp(-1, 1)[0], [], ["'env/reward'"]),
    ],
)
def test_13_by_the_steps_of_a_whole_variable(reward, kinds, noted):
    problems = check(using(lambda batch, q_values: q_values[0].amin(-1) - reward(batch["env/reward"])), inputs=batch())
    assert [one.kind for one in problems] == kinds
    assert len(problems.notes) == len(noted) and all(map(str.__contains__, problems.notes, noted))
