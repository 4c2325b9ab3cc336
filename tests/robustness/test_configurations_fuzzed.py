import dataclasses
import typing

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tests.robustness.fuzzing import examples
from workspace_rl.algorithm.contract import action_kinds
from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.algos import ALGORITHMS
from workspace_rl.config.run_config import RunConfig
from workspace_rl.config.schema import resolve_config, to_yaml
from workspace_rl.config.sources import apply_overrides, load_config
from workspace_rl.config.unknown_keys import sections_of
from workspace_rl.errors import ConfigError, WorkspaceRLError

ENV_NAMES = {"continuous": "Pendulum-v1", "discrete": "CartPole-v1"}


def valid(algo):
    """A configuration that is accepted, and quickly built."""
    return {
        "algo": algo,
        "gym_env": {"env_name": ENV_NAMES[action_kinds(ALGORITHMS[algo])[0]]},
        "algorithm": {"total_steps": 20_000, "n_envs": 2, "n_steps": 2, "seed": 3},
        "compile": False,
        "matmul_precision": "highest",
    }


def paths(schema, prefix=()):
    """Return the paths of all keys of a schema, sections included."""
    found = []
    sections = sections_of(schema)
    for one in dataclasses.fields(schema):
        found.append((*prefix, one.name))
        if one.name in sections:
            found += paths(sections[one.name], (*prefix, one.name))
    return found


PATHS = sorted({path for algorithm in ALGORITHMS.values() for path in paths(algorithm.config_class)})
TYPOS = [
    ("algoritm",),
    ("algorithm", "seeed"),
    ("gym_env", "env_nme"),
    ("logger", "log", "dir"),
    ("",),
    ("a", "b", "c"),
]

NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 1e6, 2**31, 2**63, 2**64, 10**30, 10**400, -(10**400), 1e308, 5e-324, -0.0, 0.5]),
    st.floats(),
    st.integers(),
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            "", "auto", "cpu", "cuda", "meta", "cuda:x", "None", "true", "1e6", "???", "sac", "x" * 2000, "\0",
            "\ud800",
            "torch.optim.Adam", "torch.optim.SGD", "torch.optim.Optimizer", "torch.optim", "torch.nn.Linear",
            "os.system",
            "torch.optim.lr_scheduler.LRScheduler", "torch..Adam", ".", "workspace_rl.__main__.main",
            "torch.optim.a b.c",
            "torch.nn.\0.x", "workspace_rl.cli.program.main", "torch.optim.Adam.step", "builtins.eval",
        ]
    ),
    st.sampled_from(
        [
            "${algorithm.seed}", "${seed}", "${.}", "${..}", "${...x}", "${", "}", "${}", "${algorithm}", "${base_dir}",
            "${current_time:}", "${current_time:1,2}", "${oc.env:NOWHERE}", "${oc.env:HOME}", "${oc.decode:'{'}",
            "${oc.decode:'1'}", "${oc.create:{a:1}}", "${oc.deprecated:algorithm.seed}", "${oc.select:x,1}",
            "${nowhere:}",
            "${oc.dict.keys:algorithm}", "${algorithm.${algorithm.seed}}", "\\${x}",
            "${algorithm.seed}${algorithm.seed}",
        ]
    ),
    st.text(max_size=8),
)  # fmt: skip
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
ODD = st.sampled_from([object(), {1, 2}, b"bytes", int, (1, 2), 1j, range(3)])
KEYS = st.one_of(
    st.sampled_from(["classname", "lr", "betas", "env_name", "seed", "a", "frame_stack"]), st.text(max_size=4)
)
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(KEYS, st.integers(0, 3), st.booleans(), st.none()), inner, max_size=3),
    ),
    max_leaves=6,
)
VALUES = st.one_of(PLAIN, PLAIN, NESTED, ODD)


def put(config, path, value):
    """Put `value` at a path, over whatever stands in the way."""
    for key in path[:-1]:
        if not isinstance(config.get(key), dict):
            config[key] = {}
        config = config[key]
    config[path[-1]] = value


@st.composite
def configurations(draw, values=VALUES):
    config = valid(draw(st.sampled_from(sorted(ALGORITHMS))))
    for path in draw(st.lists(st.sampled_from([*PATHS * 6, *TYPOS]), min_size=0, max_size=4)):
        put(config, path, draw(values))
    return config


def accepted_or_told(config):
    """Return the resolved configuration, or None if it is refused with a message."""
    try:
        algorithm = find_algorithm(config.get("algo"))
        return resolve_config(algorithm.config_class, config)
    except ConfigError as error:
        assert len(str(error)) > 10
        return None


@examples(quick=250, full=10_000)
@given(configurations())
def test_a_configuration_is_accepted_or_its_mistake_is_told(config):
    resolved = accepted_or_told(config)
    if resolved is None:
        return
    assert isinstance(resolved, RunConfig)
    sections = [getattr(resolved, name) for name in sections_of(type(resolved))]
    for section in (resolved, *(one for one in sections if one is not None)):
        for name, hint in typing.get_type_hints(type(section)).items():
            if hint in (int, float, str, bool):
                assert type(getattr(section, name)) is hint
    again = resolve_config(type(resolved), OmegaConf.create(to_yaml(resolved)))
    assert again == resolved or "nan" in to_yaml(resolved)


@examples(quick=100, full=2000)
@given(st.one_of(ODD, PLAIN, NESTED, st.dictionaries(KEYS, VALUES, max_size=3)))
def test_whatever_is_given_as_a_configuration_is_told(junk):
    for algorithm in ALGORITHMS.values():
        with pytest.raises(ConfigError) as info:
            resolve_config(algorithm.config_class, junk)
        assert len(str(info.value)) > 10


BUILDABLE = st.one_of(
    st.sampled_from(
        [0, 1, 2, 3, 4.0, 0.5, -1, True, None, "auto", "sync", "cpu", "meta", "Pendulum-v1", "CartPole-v1"]
    ),
    st.lists(st.integers(0, 9), max_size=3),
    st.fixed_dictionaries({"classname": st.sampled_from(["torch.optim.Adam", "torch.optim.SGD", "torch.optim.Muon"])}),
    st.dictionaries(st.sampled_from(["g", "max_episode_steps", "render_mode", "x", "autoreset"]), st.integers(0, 5)),
    st.dictionaries(st.sampled_from(["frame_skip", "frame_stack", "screen_size", "x"]), st.integers(0, 90)),
)
BUILT = [path for path in PATHS if path[0] in ("gym_env", "algorithm") or path[0].endswith("optimizer")]


@examples(quick=60, full=1000)
@given(st.sampled_from(sorted(ALGORITHMS)), st.lists(st.tuples(st.sampled_from(BUILT), BUILDABLE), max_size=3))
def test_algorithms_are_built_or_tell_why_not(algo, changes):
    config = valid(algo)
    for path, value in changes:
        put(config, path, value)
    try:
        built = ALGORITHMS[algo](config)
    except WorkspaceRLError as error:
        assert len(str(error)) > 10
    else:
        built.train_env.close()
        assert built.run is None  # nothing has been written


@examples(quick=150, full=3000)
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60), configurations(PLAIN)), st.data())
def test_a_configuration_file_is_accepted_or_its_mistake_is_told(tmp_path_factory, content, data):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    if isinstance(content, dict):
        content = yaml.safe_dump(content)
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + data.draw(st.text(max_size=3)) + content[at + data.draw(st.integers(0, 3)) :]
    if isinstance(content, str):
        content = content.encode(errors="surrogatepass")
    path.write_bytes(content)
    try:
        config = load_config(path)
    except ConfigError as error:
        assert "config.yaml" in str(error) or "algo: " in str(error)
        return
    accepted_or_told(config)


@examples(quick=150, full=3000)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=20), st.builds("{}={}".format, st.sampled_from([".".join(path) for path in PATHS]), TEXTS)
        ),
        max_size=3,
    )
)
def test_overrides_are_accepted_or_their_mistake_is_told(overrides):
    try:
        config = apply_overrides(OmegaConf.create(valid("sac")), overrides)
    except ConfigError as error:
        assert len(str(error)) > 10
        return
    accepted_or_told(config)


BOMB = "\n".join(
    [f"a0: &a0 [{', '.join(['x'] * 10)}]"] + [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
)


@pytest.mark.parametrize(
    "text", [BOMB, "a: &a [*a]", "a: &a {b: *a}", "[" * 5000, "a: " * 3000, "x" * 2_000_000, "- " * 40_000]
)
def test_yaml_that_would_not_end_is_refused(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_config(tmp_path / "config.yaml")
    with pytest.raises(ConfigError):
        apply_overrides(OmegaConf.create(valid("sac")), [f"base_dir={text}"])


def test_anchors_of_one_s_own_are_read(tmp_path):
    (tmp_path / "config.yaml").write_text("actor_optimizer: &adam {lr: 1}\ncritic_optimizer: *adam\n")
    assert load_config(tmp_path / "config.yaml").critic_optimizer.lr == 1
