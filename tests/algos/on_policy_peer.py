"""stable-baselines3's on-policy algorithms beside ours: the same weights, one rollout, everything in float64.

Our rollouts hold the frames of resets, theirs do not; the rows of theirs are ours that count. Of what they learn from
one thing is made otherwise: where an episode is cut off, stable-baselines3 adds the discounted value of its last
observation to the reward, and lets the return end there.
"""

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from tests.toys import ACT, OBS, SpaceEnv
from workspace_rl import Workspace

OBSERVATIONS = gym.spaces.Box(-1, 1, (OBS,))
ACTIONS = {"Discrete": gym.spaces.Discrete(ACT), "Box": gym.spaces.Box(-1, 1, (ACT,))}
for kind, space in ACTIONS.items():
    spaces = {"observation_space": OBSERVATIONS, "action_space": space}
    gym.register(f"{kind}Actions-v0", entry_point="tests.toys:SpaceEnv", kwargs=spaces)

GAMMA, LAMBDA, HIDDEN = 0.9, 0.8, [16, 12]
N_ENVS, N_STEPS = 2, 14
#: Frames at which environments terminate, and at which they are cut off; two of those before the last one in each.
TERMINATED, TRUNCATED = [(4, 0), (7, 1)], [(9, 0), (0, 1), (7, 1), (14, 1)]
#: The rows that are transitions, of each environment.
N_ROWS = N_STEPS - 2


def close(ours, theirs):
    return torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def our_algorithm(algorithm, folder, kind, optimizer, **parameters):
    """Return one of our algorithms, in float64."""
    return algorithm(
        {
            "algo": algorithm.__name__.lower(),
            "gym_env": {"env_name": f"{kind}Actions-v0"},
            "base_dir": str(folder / "run"),
            "optimizer": optimizer,
            "compile": False,
            "record_best": False,
            "algorithm": {
                "total_steps": 1000,
                "n_envs": N_ENVS,
                "n_steps": N_STEPS,
                "discount_factor": GAMMA,
                "gae_lambda": LAMBDA,
                "architecture": {"hidden_size": HIDDEN},
            }
            | parameters,
        }
    )


def their_model(algorithm, monkeypatch, kind, optimizer=None, **options):
    """Return one of stable-baselines3's algorithms, in float64 and with weights like those of a trained one."""
    monkeypatch.setattr("stable_baselines3.common.policies.preprocess_obs", lambda obs, *args, **kwargs: obs)
    policy = {"net_arch": {"pi": HIDDEN, "vf": HIDDEN}}
    if optimizer is not None:
        policy |= {"optimizer_class": optimizer.pop("class"), "optimizer_kwargs": optimizer}
    envs = DummyVecEnv([lambda: SpaceEnv(OBSERVATIONS, ACTIONS[kind])] * N_ENVS)
    options = {"n_steps": N_ROWS, "gamma": GAMMA, "gae_lambda": LAMBDA} | options
    model = algorithm("MlpPolicy", envs, policy_kwargs=policy, device="cpu", **options)
    model._logger = Logger(None, [])
    model.policy.double()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def pairs(ours, model):
    """Return each of our parameters with theirs."""
    actor, value = ours.policy
    theirs = model.policy
    modules = [
        (actor.body, theirs.mlp_extractor.policy_net),
        (actor.head, theirs.action_net),
        (value.body, theirs.mlp_extractor.value_net),
        (value.head, theirs.value_net),
    ]
    found = [pair for one, other in modules for pair in zip(one.parameters(), other.parameters(), strict=True)]
    return [*found, (actor.log_std, theirs.log_std)] if hasattr(actor, "log_std") else found


@torch.no_grad()
def take_weights(ours, model):
    for one, other in pairs(ours, model):
        one.copy_(other)


def random_rollout(ours):
    """Return a rollout that was made by other weights than those that learn."""
    torch.manual_seed(2)
    rollout, size = Workspace(), (N_STEPS + 1, N_ENVS)
    rollout["env/env_obs"] = torch.randn(*size, OBS)
    continuous = ours.train_env.action_kind == "continuous"
    # stable-baselines3 stores actions in float32.
    rollout["action"] = torch.randn(*size, ACT).float().double() if continuous else torch.randint(ACT, size)
    rollout["env/reward"] = torch.randn(size)
    flags = torch.zeros(2, *size, dtype=torch.bool)
    for flag, places in zip(flags, (TERMINATED, TRUNCATED), strict=True):
        for t, environment in places:
            flag[t, environment] = True
    rollout["env/terminated"], rollout["env/done"] = flags[0], flags.any(0)
    now = Workspace(rollout)
    with torch.no_grad():
        ours.policy(now, given=True)
    rollout["action_logprobs"] = now["action_logprobs"] + 0.2 * torch.randn(size)
    rollout["value"] = now["value"] + 0.5 * torch.randn(size)
    return rollout


def transitions(rollout):
    """Return the numbers of our rows, `[T, B]` flattened, in the order of theirs, and of those that do not count."""
    done = rollout["env/done"][:-1]
    numbers = torch.arange(done.numel()).view_as(done)
    return torch.cat([column[~over] for column, over in zip(numbers.T, done.T, strict=True)]), numbers[done]


def give(model, rollout):
    """Put the rollout into stable-baselines3's buffer, as its `collect_rollouts` does."""
    order, _ = transitions(rollout)
    step, environment = order // N_ENVS, order % N_ENVS
    done, terminated, value = rollout["env/done"], rollout["env/terminated"], rollout["value"]
    cut = done & ~terminated
    reward = rollout["env/reward"][1:] + GAMMA * value[1:] * cut[1:]
    starts = torch.cat((torch.ones_like(done[:1]), done[:-1]))[:-1]
    buffer = model.rollout_buffer
    buffer.reset()
    for name, values in {
        "observations": rollout["env/env_obs"], "actions": rollout["action"], "rewards": reward,
        "episode_starts": starts.double(), "values": value, "log_probs": rollout["action_logprobs"],
    }.items():  # fmt: skip
        picked = values[step, environment].unflatten(0, (N_ENVS, N_ROWS)).transpose(0, 1).numpy()
        setattr(buffer, name, picked.reshape(getattr(buffer, name).shape).copy())
    buffer.advantages = np.zeros((N_ROWS, N_ENVS))
    buffer.compute_returns_and_advantage(value[-1], done[-1].numpy())
    buffer.full = True


def our_batches(rows, rollout, orders, batch_size):
    """Yield our rows in the order of their minibatches, and among them, in each, one that does not count."""
    order, others = transitions(rollout)
    for permutation in orders:
        for number, chosen in enumerate(torch.as_tensor(permutation).split(batch_size)):
            numbers = torch.cat((others[number % len(others)].view(1), order[chosen]))
            batch = Workspace()
            for name in rows:
                batch.set_full(name, rows[name].flatten(0, 1)[numbers].unsqueeze(0))
            yield batch


def last_gradients(ours):
    """Return a list that holds the gradients, clipped, of the last step that our optimiser has taken."""
    gradients = []

    def note(optimizer, *_):
        gradients[:] = [one.grad.clone() for group in optimizer.param_groups for one in group["params"]]

    ours.optimizer.register_step_pre_hook(note)
    return gradients


def compare_weights(ours, model, gradients):
    """Compare weights, and the gradients of the last step."""
    places = {id(one): place for place, one in enumerate(ours.policy.parameters())}
    for one, other in pairs(ours, model):
        close(gradients[places[id(one)]], other.grad)
        close(one, other)
