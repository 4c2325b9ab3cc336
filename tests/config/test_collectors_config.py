"""The section `collectors`, which may be absent."""

import dataclasses
import importlib.util
import sys

import pytest
from omegaconf import OmegaConf

from workspace_rl.algos import DDPG, SAC
from workspace_rl.algos.sac import SACConfig
from workspace_rl.config import CollectorsConfig, RunConfig, TrainingConfig, option
from workspace_rl.config.schema import defaults, describe_schema, resolve_config, to_yaml
from workspace_rl.config.sources import read_config
from workspace_rl.errors import ConfigError, MissingDependencyError

BASE = {"gym_env": {"env_name": "Pendulum-v1"}, "algorithm": {"total_steps": 20_000, "buffer_size": 20_000}}
FREE = "collectors.mode=free"


def resolved(*overrides, config=BASE):
    return resolve_config(SACConfig, read_config(config, overrides))


def test_without_the_section_there_is_none():
    assert resolved().collectors is None
    assert "\ncollectors: null\n" in to_yaml(resolved())
    assert resolved("collectors=null", config=to_dict(resolved())).collectors is None


def to_dict(config):
    return OmegaConf.create(to_yaml(config))


@pytest.mark.parametrize("config", [BASE, BASE | {"collectors": None}, BASE | {"collectors": {"lag": 0}}])
def test_one_key_of_it_makes_it_with_its_defaults_for_the_rest(config):
    expected = dataclasses.replace(CollectorsConfig(), n=8, cpus_each=1.0)
    assert resolved("collectors.n=8", config=config).collectors == expected
    assert resolved(config=config | {"collectors": {"n": 8}}).collectors == expected


def test_an_empty_one_is_one_collector():
    assert resolved("collectors={}").collectors == CollectorsConfig()


def test_it_is_written_and_read_and_taken_back():
    config = resolved("collectors.n=2", FREE, "collectors.samples_per_insert=8")
    assert resolved(config=to_dict(config)) == config
    assert resolved("collectors=null", config=to_dict(config)).collectors is None
    assert resolved("collectors.n=3", config=to_dict(config)).collectors == dataclasses.replace(config.collectors, n=3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["collectors.nn=2"], "unknown key 'collectors.nn'.*Valid here: n, where, mode"),
        (["collectors.adress=auto"], "Did you mean 'address'"),
        (["collectors=8"], "collectors: a dictionary of parameters expected, 8"),
        (["collectors.n=null"], "collectors.n: a whole number expected, None"),
        (["collectors.n=0"], "collectors.n: at least 1 expected, 0"),
        (["collectors.where=remote"], "collectors.where: one of 'process', 'local', 'ray' expected, 'remote'"),
        (["collectors.mode=fre"], "collectors.mode: .*Did you mean 'free'"),
        (["collectors.lag=2"], "collectors.lag: one of 0, 1 expected, 2"),
        (["collectors.max_restarts=-1"], "collectors.max_restarts: at least 0 expected"),
        (
            [FREE, "collectors.error_buffer=200", "algorithm.batch_size=256"],
            "mode=free: error_buffer: at least 256 sampled .* = 1 x 256 . 256, 200 found.*Leave it out",
        ),
        (["lag=1"], "'lag'. It belongs into collectors.lag"),
        (["num_env_runners=3"], "Here it is collectors.n "),
        (["algorithm.max_staleness=3"], "Here it is collectors.max_weights_age "),
        (["collectors.samples_per_insert=8"], "samples_per_insert: null expected with collectors.mode=lockstep, 8.0"),
        (["collectors.error_buffer=8"], "error_buffer: null expected with .*Use collectors.mode=free, or leave it out"),
        (["collectors.max_weights_age=8"], "max_weights_age: null expected with .*Use collectors.mode=free"),
        ([FREE, "collectors.lag=1"], "collectors.lag: 0 expected with collectors.mode=free.*max_weights_age"),
        (["collectors.address=auto"], "collectors.address: null expected with collectors.where=process, 'auto'"),
        (["collectors.where=ray", "collectors.address=host"], "address: HOST:PORT, .* expected, 'host' found"),
        (
            ["collectors.n=1", "gym_env.single_instance=true", "algorithm.n_envs=1"],
            "collectors.where: local or ray expected with gym_env.single_instance.*where=local.*leave the section",
        ),
        (
            [FREE, "algorithm.learning_starts=30_000", "algorithm.total_steps=99_999"],
            "learning_starts: at most the 20000 transitions .* expected, 30000 .*Choose a larger buffer_size",
        ),
    ],
)
def test_mistakes_and_contradictions_are_told_with_the_way_out(overrides, message):
    with pytest.raises(ConfigError, match=message):
        resolved(*overrides)


@pytest.mark.parametrize("address", ["auto", "10.0.0.7:6379", "head.example.org:6379", "[::1]:6379"])
def test_addresses_of_clusters(address):
    assert resolved("collectors.where=ray", f"collectors.address='{address}'").collectors.address == address


def test_what_is_on_policy_collects_in_rounds():
    @dataclasses.dataclass
    class OnPolicy(RunConfig):
        algorithm: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)

    given = BASE | {"algorithm": {"total_steps": 10}}
    assert resolve_config(OnPolicy, given | {"collectors": {"n": 2, "lag": 1}}).collectors.n == 2
    with pytest.raises(ConfigError, match=r"collectors.mode: lockstep expected, free found"):
        resolve_config(OnPolicy, given | {"collectors": {"mode": "free"}})


def test_a_missing_extra_is_told_before_anything_starts(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert resolved("collectors.where=ray").collectors.where == "ray"  # such a run can be looked at
    with pytest.raises(MissingDependencyError, match=r"where=ray needs the package ray: pip install .*\[ray\]"):
        SAC(BASE, ["collectors.where=ray"])


def test_looking_for_the_extra_imports_nothing():
    before = set(sys.modules)  # another test of this process may have used it
    CollectorsConfig(where="local").require_installed()
    if importlib.util.find_spec("ray") is not None:
        CollectorsConfig(where="ray").require_installed()
    assert "ray" not in set(sys.modules) - before


def test_a_collector_of_ones_own_is_the_only_one():
    class Own(DDPG):
        def make_collector(self):
            return super().make_collector()

    with pytest.raises(ConfigError, match=r"collectors: null expected, since Own has a make_collector of its own"):
        Own(BASE, ["collectors.n=2"])


# ---- sections that may be absent, whichever they are ---------------------------------------------------------------


@dataclasses.dataclass
class Inner:
    """Something inside."""

    depth: int = option(3, "how deep", least=1)


@dataclasses.dataclass
class Outer:
    """Something outside."""

    width: float = option(1.5, "how wide")
    inner: Inner | None = option(None, "what is inside, if anything")


@dataclasses.dataclass
class Whole:
    outer: Outer | None = option(None, "what is outside, if anything")
    other: int = option(1, "something else")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Whole()),
        ({"outer": None}, Whole()),
        ({"outer": {}}, Whole(Outer())),
        ({"outer": {"inner": {}}}, Whole(Outer(inner=Inner()))),
        ({"outer": {"inner": {"depth": 5}}, "other": 2}, Whole(Outer(inner=Inner(5)), 2)),
        ({"outer": {"inner": {"depth": "${other}"}}}, Whole(Outer(inner=Inner(1)))),
    ],
)
def test_they_may_hold_others(given, expected):
    found = resolve_config(Whole, given)
    assert found == expected and resolve_config(Whole, OmegaConf.create(to_yaml(found))) == expected


def test_mistakes_in_them_are_told_by_their_path():
    with pytest.raises(ConfigError, match=r"outer.inner.depth: at least 1 expected, 0"):
        resolve_config(Whole, {"outer": {"inner": {"depth": 0}}})
    with pytest.raises(ConfigError, match=r"unknown key 'outer.inner.dept'. Did you mean 'depth'"):
        resolve_config(Whole, {"outer": {"inner": {"dept": 0}}})
    with pytest.raises(ConfigError, match=r"unknown key 'depth'. It belongs into outer.inner.depth"):
        resolve_config(Whole, {"depth": 0})


def test_their_defaults_and_their_description():
    assert defaults(Whole) == {"outer": None, "other": 1}
    assert defaults(Whole, {"outer": {"inner": 7}}) == {"outer": {"width": 1.5, "inner": None}, "other": 1}
    assert describe_schema(Whole).splitlines() == [
        "outer:  # what is outside, if anything",
        "  width: 1.5  # how wide",
        "  inner:  # what is inside, if anything",
        "    depth: 3  # how deep",
        "other: 1  # something else",
    ]
