"""Every algorithm with every kind of observations and actions: it learns from them, or says why not and the way out."""

import math

import numpy as np
import pytest
import torch

from tests.spaces_env import ACTIONS
from workspace_rl import Run, policy_function
from workspace_rl.agents import Encoder, EncoderAgent, ObservationNormalizer
from workspace_rl.algos import A2C, DDPG, DQN, PPO, REINFORCE, SAC, TD3, TQC, SACDiscrete
from workspace_rl.errors import ConfigError, PolicyFileError, UnsupportedSpaceError, WorkspaceRLError

OFF_POLICY = (SAC, TQC, SACDiscrete, TD3, DDPG, DQN)
OWN_ACTIONS = {one: "discrete" if one in (DQN, SACDiscrete) else "continuous" for one in OFF_POLICY}

#: Observations that every algorithm learns from as they are.
LEARNED = (
    "vector", "doubles", "number", "table", "choice", "choices", "switches", "picture", "stack", "dict", "dict of one",
    "tuple", "nested",
)  # fmt: skip
#: Observations that none learns from as they are, and what the error names: what was found, and the way out.
REFUSED = {
    "small picture": r"\[1, 9, 8\].*'impala_cnn' is for small ones",
    "dict with small picture": r"'env/env_obs/picture'.*'impala_cnn' is for small ones",
    "channels last": r"\(36, 36, 3\).*channels first.*gym_env.wrappers",
    "dict with channels last": r"'env/env_obs/picture'.*channels first.*gym_env.wrappers",
    "text": r"Text.*TransformObservation",
    "dict with text": r"Text.*'env_obs/text'.*FilterObservation\(env, \['vector'\]\)",
    "sequence": r"Sequence.*'env_obs/1'.*FilterObservation\(env, \[0\]\)",
    "graph": r"Graph.*'env_obs/b'.*FilterObservation\(env, \['a'\]\)",
    "one of": r"OneOf.*TransformObservation",
}


def run_of(algorithm, observation, folder, action=None, architecture=None, **parameters):
    """Return an algorithm that does two updates, and little else."""
    action = action or OWN_ACTIONS.get(algorithm, "discrete")
    small = (
        {"actor_hidden_size": [8], "critic_hidden_size": [8]}
        if algorithm in OFF_POLICY and algorithm is not DQN
        else {}
    )
    small = small or {"hidden_size": [8]}
    pace = {"learning_starts": 12, "batch_size": 4, "n_steps": 2} if algorithm in OFF_POLICY else {"n_steps": 8}
    if algorithm is PPO:
        pace |= {"batch_size": 8, "n_epochs": 1}
    return algorithm(
        {
            "gym_env": {
                "env_name": "tests.spaces_env:Spaces-v0",
                "env_args": {"observation": observation, "action": action},
            },
            "base_dir": str(folder / "run"),
            "algorithm": {"total_steps": 16, "n_envs": 2, "eval_interval": 1000, "nb_evals": 1, "final_episodes": 1}
            | {"architecture": small | (architecture or {})}
            | pace
            | parameters,
            "logger": {"save_tensorboard": False},
            "compile": False,
            "record_best": False,
        }
    )


def learns(algorithm):
    """Train, and return whether all networks have changed, and are finite."""
    modules = algorithm.members(torch.nn.Module)
    before = {name: [one.clone() for one in module.parameters()] for name, module in modules.items()}
    algorithm.train()
    changed = {
        name: any(not torch.equal(old, new) for old, new in zip(before[name], module.parameters(), strict=True))
        for name, module in modules.items()
        if before[name]
    }
    finite = all(torch.isfinite(one).all() for module in modules.values() for one in module.parameters())
    return finite and any(changed.values())


ALL = (*OFF_POLICY, PPO, A2C, REINFORCE)
#: One for each way in which networks are put together; the others have the kinds that differ most.
EACH_WAY = (SAC, DQN, PPO)


@pytest.mark.parametrize(
    ("algorithm", "observation"),
    [(one, kind) for one in ALL for kind in LEARNED if one in EACH_WAY or kind in ("dict", "tuple")]
    + [(SACDiscrete, kind) for kind in ("choice", "picture")],
)
def test_it_learns_from_observations_of_every_kind(algorithm, observation, tmp_path):
    assert learns(run_of(algorithm, observation, tmp_path))


@pytest.mark.parametrize(
    ("algorithm", "observation"),
    [(one, kind) for one in ALL for kind in REFUSED if one in EACH_WAY or kind == "dict with text"],
)
def test_what_it_does_not_learn_from_is_refused_with_the_way_out(algorithm, observation, tmp_path):
    with pytest.raises(WorkspaceRLError, match=f"(?s){REFUSED[observation]}"):
        run_of(algorithm, observation, tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("algorithm", ALL)
def test_actions_of_every_kind_are_learned_or_refused(algorithm, action, tmp_path):
    on_policy = algorithm in (PPO, A2C, REINFORCE)
    if action in ("dict", "tuple"):
        with pytest.raises(UnsupportedSpaceError, match="the action space.*gymnasium.wrappers.TransformAction"):
            run_of(algorithm, "nested", tmp_path, action)
    elif on_policy or action == OWN_ACTIONS[algorithm]:
        if algorithm in (A2C, REINFORCE) or (algorithm is PPO and action != "discrete"):  # others: see above
            assert learns(run_of(algorithm, "nested", tmp_path, action))
    else:
        with pytest.raises(UnsupportedSpaceError, match=f"{OWN_ACTIONS[algorithm]} actions"):
            run_of(algorithm, "nested", tmp_path, action)


def test_keys_may_be_empty(tmp_path):
    run = run_of(SAC, "empty keys", tmp_path, normalize_observations=True)
    assert run.train_env.observation_names == ["env/env_obs/", "env/env_obs/a/"]
    assert learns(run)
    act = policy_function(Run(tmp_path / "run").policy())
    assert act({"": np.zeros(3, np.float32), "a": {"": 1}}).shape == (2,)


@pytest.mark.parametrize("algorithm", [DQN, SACDiscrete, PPO])
def test_the_parts_beside_a_mask_are_learned_from(algorithm, tmp_path):
    run = run_of(algorithm, "masked", tmp_path, action_mask="env/env_obs/action_mask")
    (encoder,) = {one for one in run.eval_policy.modules() if isinstance(one, EncoderAgent)}
    assert [part["variable"] for part in encoder.parts] == ["env/env_obs/vector", "env/env_obs/goal"]
    assert learns(run)
    with pytest.raises(UnsupportedSpaceError, match=r"nothing beside the mask.*gym_env.info_keys"):
        run_of(algorithm, "mask alone", tmp_path / "other", action_mask="env/env_obs/action_mask")


@pytest.mark.parametrize("algorithm", [SAC, PPO])
def test_parts_are_normalised_and_saved(algorithm, tmp_path):
    run = run_of(algorithm, "dict", tmp_path, normalize_observations=True)
    assert learns(run)
    policy = Run(tmp_path / "run").policy()
    (normalizer,) = {one for one in policy.modules() if isinstance(one, ObservationNormalizer)}
    assert normalizer.observation_variable == "env/env_obs/vector" and normalizer.count > 0
    with pytest.raises(UnsupportedSpaceError, match="normalize_observations: .* are pictures"):
        run_of(algorithm, "picture", tmp_path / "other", normalize_observations=True)


@pytest.mark.parametrize("shared_by", ["all", "critics", "none"])
def test_critics_share_an_encoder_or_not(shared_by, tmp_path):
    run = run_of(SAC, "tuple", tmp_path, architecture={"front_shared_by": shared_by, "encoder": {"hidden_size": [8]}})
    fronts = [front for of_all in (run.fronts.online, run.fronts.targets) for front in of_all.values()]
    encoders = {one for front in fronts for one in front.agents}
    learning = {one for one in encoders if all(parameter.requires_grad for parameter in one.parameters())}
    assert len(learning) == {"all": 1, "critics": 2, "none": 3}[shared_by]
    targets = {one.features_variable for one in encoders - learning}
    assert len(targets) == len(encoders - learning) == (2 if shared_by == "none" else 1)
    assert learns(run)


@pytest.mark.parametrize("algorithm", [DQN, PPO])
def test_small_pictures_are_read_by_the_network_of_impala(algorithm, tmp_path):
    assert learns(run_of(algorithm, "small picture", tmp_path, architecture={"network": "impala_cnn"}))
    own = {"encoder": {"images": "impala_cnn"}}
    assert learns(run_of(algorithm, "dict with small picture", tmp_path / "dict", architecture=own))
    with pytest.raises(ConfigError, match="network: 'mlp' expected where an encoder.*encoder.images: impala_cnn"):
        run_of(algorithm, "dict", tmp_path / "other", architecture={"network": "impala_cnn"})


class Own(Encoder):
    """Numbers, through a layer."""

    def __init__(self, parts, size, **options):
        super().__init__(parts, **options)
        self.layer, self.n_features = torch.nn.Linear(sum(math.prod(part["shape"]) for part in self.parts), size), size

    def encode(self, observation, leading):
        return self.layer(
            torch.cat([part.reshape(*part.shape[:leading], -1).float() for part in observation.values()], -1)
        ).relu()


@pytest.mark.parametrize("algorithm", [SAC, PPO])
def test_an_encoder_of_ones_own_is_trained_saved_and_scored(algorithm, tmp_path):
    own = {"encoder": {"classname": f"{__name__}:Own", "arguments": {"size": 5}}}
    assert learns(run_of(algorithm, "nested", tmp_path, architecture=own))
    run = Run(tmp_path / "run", allow=[Own])
    assert any(isinstance(one, Own) for one in run.policy().modules())
    assert run.evaluate(2).mean == 3
    with pytest.raises(PolicyFileError, match="allow it by name"):
        Run(tmp_path / "run").policy()
