"""Policies that are read from files, whole, damaged and hostile ones."""

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from workspace_rl import Agent, Agents, KWAgentWrapper, Workspace, load_policy, save_policy
from workspace_rl.agents import ContinuousQAgent, SquashedGaussianActor
from workspace_rl.errors import PolicyFileError


class MyActor(Agent):
    """A user's own agent."""

    def __init__(self, size, *, scale=1.0, activation=nn.Tanh, options=None):
        super().__init__()
        self.layer, self.scale, self.activation, self.options = nn.Linear(size, 1), scale, activation(), options

    def forward(self, t, **kwargs):
        self.set(("action", t), self.scale * self.activation(self.layer(self.get(("env/env_obs", t)))))


def act(policy, size=3):
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.linspace(-1, 1, 4 * size).reshape(4, size))
    policy(workspace, t=0)
    return workspace.get("action", 0)


@pytest.fixture
def saved(tmp_path):
    policy = KWAgentWrapper(SquashedGaussianActor(3, [8], 1, activation=nn.SiLU, name="actor"), stochastic=False)
    save_policy(policy, tmp_path)
    return policy, tmp_path


def test_a_saved_policy_acts_the_same(saved):
    policy, folder = saved
    before = torch.get_rng_state()
    loaded = load_policy(folder)
    assert torch.equal(act(policy), act(loaded))
    assert torch.equal(before, torch.get_rng_state())
    assert loaded.wrapped.name == "actor" and isinstance(loaded.wrapped.body[1], nn.SiLU)


def test_names_and_prefixes_are_kept(tmp_path):
    save_policy(Agents(ContinuousQAgent(2, [4], 1, name="q").with_prefix("target/"), name="all"), tmp_path)
    loaded = load_policy(tmp_path)
    assert loaded.name == "all" and (loaded[0].name, loaded[0].prefix) == ("q", "target/")


def test_users_classes_are_loaded_if_they_are_allowed(tmp_path):
    policy = MyActor(3, scale=2.0, options={"a": [1, None, True]})
    save_policy(policy, tmp_path)
    with pytest.raises(PolicyFileError, match="'.*MyActor' may not be named here.*allow="):
        load_policy(tmp_path)
    loaded = load_policy(tmp_path, allow=[MyActor])
    assert torch.equal(act(policy), act(loaded)) and loaded.options == {"a": [1, None, True]}


@pytest.mark.parametrize("classname", ["os.system", "subprocess.Popen", "builtins.eval", "torch.nn.functional.relu"])
def test_nothing_else_can_be_named(saved, classname):
    _, folder = saved
    (folder / "policy.yaml").write_text(yaml.safe_dump({"agent": {"class": classname, "args": ["true"]}}))
    with pytest.raises(PolicyFileError):
        load_policy(folder)


def test_what_a_trusted_module_imported_is_not_trusted(saved):
    _, folder = saved
    (folder / "policy.yaml").write_text(
        yaml.safe_dump({"agent": {"class": "workspace_rl.policies.files.Path", "args": ["x"]}})
    )
    with pytest.raises(PolicyFileError, match="pathlib.Path' may not be named"):
        load_policy(folder)


def test_yaml_constructs_nothing(saved):
    _, folder = saved
    (folder / "policy.yaml").write_text("agent: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(PolicyFileError, match="cannot be read"):
        load_policy(folder)


def test_every_flipped_byte_is_noticed(saved):
    policy, folder = saved
    path = folder / "policy.safetensors"
    intact = path.read_bytes()
    for position in range(0, len(intact), 7):
        damaged = bytearray(intact)
        damaged[position] ^= 4
        path.write_bytes(bytes(damaged))
        with pytest.raises(PolicyFileError):
            load_policy(folder)
    path.write_bytes(intact[:-5])
    with pytest.raises(PolicyFileError, match="cannot be read"):
        load_policy(folder)
    path.write_bytes(intact)
    assert torch.equal(act(policy), act(load_policy(folder)))


def test_weights_that_do_not_fit_are_named(saved, tmp_path):
    _, folder = saved
    architecture = yaml.safe_load((folder / "policy.yaml").read_text())
    architecture["agent"]["args"][0]["agent"]["args"][1] = [9]
    (folder / "policy.yaml").write_text(yaml.safe_dump(architecture))
    with pytest.raises(PolicyFileError, match=r"body.0.weight: \(9, 3\) described, \(8, 3\) stored"):
        load_policy(folder)


def test_missing_checksums_are_noticed(saved):
    _, folder = saved
    save_file(load_file(folder / "policy.safetensors"), folder / "policy.safetensors")
    with pytest.raises(PolicyFileError, match="checksum"):
        load_policy(folder)


def test_folders_without_a_policy_are_named(tmp_path):
    with pytest.raises(PolicyFileError, match="holds no policy"):
        load_policy(tmp_path / "nowhere")


def test_pickles_are_not_opened(tmp_path):
    torch.save({}, tmp_path / "old.pt")
    with pytest.raises(PolicyFileError, match=r"a pickle.*convert it once"):
        load_policy(tmp_path / "old.pt")


def test_dtypes_are_kept(tmp_path):
    policy = SquashedGaussianActor(3, [8], 1).double()
    save_policy(policy, tmp_path)
    assert {value.dtype for value in load_policy(tmp_path).state_dict().values()} == {torch.float64}


def test_an_agent_may_stand_twice_in_a_composition(tmp_path):
    actor = SquashedGaussianActor(3, [8], 1)
    save_policy(KWAgentWrapper(Agents(actor, actor), stochastic=False), tmp_path)
    assert torch.equal(act(load_policy(tmp_path)), act(KWAgentWrapper(actor, stochastic=False)))


def test_arguments_are_those_of_the_construction(tmp_path):
    sizes = [8]
    actor = SquashedGaussianActor(3, sizes, 1)
    sizes.append(4)
    save_policy(actor, tmp_path)
    assert load_policy(tmp_path).body[0].out_features == 8


def test_a_changed_description_is_noticed(saved):
    """One bit makes GELU of CELU, which the weights fit just as well."""
    _, folder = saved
    save_policy(SquashedGaussianActor(3, [8], 1, activation=nn.CELU), folder)
    text = (folder / "policy.yaml").read_text()
    (folder / "policy.yaml").write_text(text.replace("nn.CELU", "nn.GELU"))
    with pytest.raises(PolicyFileError, match="damaged or was changed"):
        load_policy(folder)


def test_weights_of_another_policy_are_noticed(saved, tmp_path):
    _, folder = saved
    other = KWAgentWrapper(SquashedGaussianActor(3, [8], 1, activation=nn.SiLU, name="actor"), stochastic=False)
    save_policy(other, tmp_path / "other")
    (tmp_path / "other" / "policy.safetensors").replace(folder / "policy.safetensors")
    with pytest.raises(PolicyFileError, match="damaged or was changed"):
        load_policy(folder)


def test_files_lie_in_their_folder(saved, tmp_path):
    policy, _ = saved
    folder = tmp_path / "policy"
    save_policy(policy, folder)
    save_policy(policy, tmp_path / "elsewhere")
    (folder / "policy.safetensors").unlink()
    (folder / "policy.safetensors").symlink_to(tmp_path / "elsewhere" / "policy.safetensors")
    with pytest.raises(PolicyFileError, match="policy.safetensors leads out of its folder, to .*elsewhere"):
        load_policy(folder)
    run = tmp_path / "run"
    run.mkdir()
    (run / "best").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PolicyFileError, match="best leads out of its folder"):
        load_policy(run)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")  # the user's own
    load_policy(tmp_path / "link")
