"""Folders that were damaged, changed, or written by somebody who means harm."""

import importlib
import os
import pickle
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.robustness.fuzzing import examples
from tests.robustness.watching import CANARY, Hang, watched
from workspace_rl import Agent, Agents, KWAgentWrapper, ReplayBuffer, Run, Workspace, load_policy, save_policy
from workspace_rl.agents import DiscreteQAgent, GreedyAgent, SquashedGaussianActor
from workspace_rl.algos.sac import SACConfig
from workspace_rl.config.schema import resolve_config
from workspace_rl.errors import CheckpointError, PolicyFileError, WorkspaceRLError
from workspace_rl.learning.state.training_state import read_state
from workspace_rl.policies.files import checksum_of
from workspace_rl.runs.checkpoints import Checkpoints


def fingerprint(policy: Agent) -> list[Any]:
    """Return all weights of a policy, and what it does, as bytes."""
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.linspace(-2, 2, 15).reshape(5, 3))
    torch.manual_seed(0)
    policy(workspace, t=0)
    tensors = {**policy.state_dict(), "action": workspace.get("action", 0)}
    return [(name, value.dtype, value.detach().numpy().tobytes()) for name, value in tensors.items()]


def actor_of(seed: int) -> Agent:
    torch.manual_seed(seed)
    return KWAgentWrapper(SquashedGaussianActor(3, [8], 1, activation=torch.nn.CELU), stochastic=False)


def greedy_of(seed: int) -> Agent:
    torch.manual_seed(seed)
    return Agents(DiscreteQAgent((3,), [4], 5, dueling=True, head_hidden_sizes=[3]), GreedyAgent())


def write_run(path: Path, seed: int) -> None:
    run = Run.create(
        resolve_config(
            SACConfig,
            {"gym_env": {"env_name": "Pendulum-v1"}, "base_dir": str(path), "algorithm": {"total_steps": 20_000}},
        )
    )
    for k, which in enumerate(("best", "latest")):
        save_policy(actor_of(2 * seed + k), run.path / which)


def open_run(path: Path) -> list[Any]:
    run = Run(path)
    return [fingerprint(run.policy(which)) for which in ("best", "latest")]


def write_checkpoints(path: Path, seed: int) -> None:
    buffer = ReplayBuffer(50, ["x"], done_variable="done")
    checkpoints = Checkpoints(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "metrics.csv").write_text(f"step,name,value\n1,a,{seed}\n")
    for step in (40, 80):
        frames = Workspace()
        frames.set_full("x", torch.full((20, 2), float(seed + step)))
        frames.set_full("done", torch.zeros(20, 2, dtype=torch.bool))
        buffer.put(frames)
        tensors, plain = read_state({"actor": actor_of(seed + step)})
        copies = {"metrics.csv": path.parent / "metrics.csv"}
        checkpoints.save(step, {"parts": plain, "seed": seed}, tensors, buffer, copies)


def open_checkpoints(path: Path) -> list[Any]:
    checkpoint = Checkpoints(path).newest()
    if checkpoint is None or checkpoint.skipped:  # the user is told, and the one before is used
        raise CheckpointError("; ".join(checkpoint.skipped if checkpoint else ["there is no checkpoint at all"]))
    pieces = [*checkpoint.rows(), (0, checkpoint.tensors)]
    found = [(start, name, value.numpy().tobytes()) for start, rows in pieces for name, value in sorted(rows.items())]
    return [checkpoint.step, checkpoint.state, checkpoint.copies, found]


@dataclass(frozen=True)
class Kind:
    """A kind of folder: how an intact one is written from a seed, and what a reader gets out of it."""

    write: Callable[[Path, int], object]
    read: Callable[[Path], object]
    #: Files, relative to the folder.
    files: tuple[str, ...]


POLICY = ("policy.yaml", "policy.safetensors")
KINDS = {
    "policy": Kind(
        lambda path, seed: save_policy(actor_of(seed), path), lambda path: fingerprint(load_policy(path)), POLICY
    ),
    "policy of choices": Kind(
        lambda path, seed: save_policy(greedy_of(seed), path), lambda path: fingerprint(load_policy(path)), POLICY
    ),
    "checkpoints": Kind(
        write_checkpoints,
        open_checkpoints,
        (
            "checkpoint-80.json",
            "state-80.safetensors",
            "copy-80-metrics.csv",
            *(f"rows-{start:012d}-{start + 20:012d}.safetensors" for start in (0, 20)),
        ),
    ),
    "run": Kind(
        write_run, open_run, ("config.yaml", *(f"{which}/{name}" for which in ("best", "latest") for name in POLICY))
    ),
}


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """For each kind the folders of two seeds, what a reader gets from the first, and the canary on Python's path."""
    root = tmp_path_factory.mktemp("intact")
    (root / "modules").mkdir()
    (root / "modules" / f"{CANARY}.py").write_text("class Agent: pass\n")
    sys.path.insert(0, str(root / "modules"))
    folders = {}
    for name, kind in KINDS.items():
        for seed in (0, 1):
            kind.write(root / name / str(seed), seed)
        folders[name] = root / name, kind.read(root / name / "0")
    yield folders
    sys.path.remove(str(root / "modules"))


# ---- what may happen to a folder ------------------------------------------------------------------------------------

FRACTIONS = st.floats(0, 0.999999)
JUNK = [
    "", "\0", "agent", "agent: 1", "agent: []", "agent: {}", "[1, 2]", "a: &a [*a]", "&a {agent: *a, checksums: *a}",
    "agent: !!python/object/apply:os.system ['true']", f"agent: !!python/module:{CANARY} ''", "!!timestamp x",
    f"agent: !!python/name:{CANARY}.Agent ''", f"agent: {{class: {CANARY}.Agent}}", "a: !!int x", "? [a]\n: b",
    "agent: !!python/object/new:subprocess.Popen [['true']]", "[" * 3000,
    "\n".join("  " * k + "a:" for k in range(300)),
    "2001-99-99", "9" * 10_000, "agent: {class: ../../../etc/passwd}", "agent: {class: workspace_rl.__main__.main}",
    "checksums: [x]\nagent: {class: torch.nn.Linear, args: [1, 1]}", "agent: \ud800".encode(errors="surrogatepass"),
    "\n".join(["a0: &a0 [x, x]", *(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 20))]),
]  # fmt: skip


def flip(folder, other, path, draw):
    content = bytearray(path.read_bytes())
    for _ in range(draw(st.integers(1, 3))):
        content[int(draw(FRACTIONS) * len(content))] ^= 1 << draw(st.integers(0, 7))
    path.write_bytes(bytes(content))


def overwrite(folder, other, path, draw):
    content, new = path.read_bytes(), draw(st.binary(min_size=1, max_size=9))
    at = int(draw(FRACTIONS) * len(content))
    path.write_bytes(content[:at] + new + content[at + draw(st.integers(0, 9)) :])


def truncate(folder, other, path, draw):
    os.truncate(path, int(draw(FRACTIONS) * path.stat().st_size))


def lengthen(folder, other, path, draw):
    os.truncate(path, path.stat().st_size + draw(st.sampled_from([1, 8, 10**6, 10**12])))  # a file with a hole


def delete(folder, other, path, draw):
    path.unlink()


def make_folder(folder, other, path, draw):
    path.unlink()
    path.mkdir()


def make_pipe(folder, other, path, draw):
    path.unlink()
    os.mkfifo(path)


def exchange_with_another_seed(folder, other, path, draw):
    shutil.copyfile(other / path.relative_to(folder), path)


def exchange_within(folder, other, path, draw):
    second = draw(st.sampled_from(sorted(one for one in folder.rglob("*") if one.is_file())))
    content = path.read_bytes(), second.read_bytes()
    path.write_bytes(content[1])
    second.write_bytes(content[0])


def write_junk(folder, other, path, draw):
    junk = draw(st.one_of(st.sampled_from(JUNK), st.binary(max_size=60), st.text(max_size=40)))
    path.write_bytes(junk if isinstance(junk, bytes) else junk.encode(errors="surrogatepass"))


def write_header(folder, other, path, draw):
    """Give the length of safetensors' header as something else."""
    length = draw(st.sampled_from([0, 1, 2**31, 2**63, 2**64 - 1, 100_000_000]))
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])


def link_outside(folder, other, path, draw):
    target = draw(st.sampled_from([other / path.relative_to(folder), Path("/etc/passwd"), Path("/dev/zero"), path]))
    path.unlink()
    path.symlink_to(target)


def lead_upwards(folder, other, path, draw):
    """Give a link that goes up and comes down elsewhere."""
    target = os.path.relpath(other / path.relative_to(folder), path.parent)
    path.unlink()
    path.symlink_to(target)


DAMAGES = [
    *[flip] * 4, *[overwrite] * 3, truncate, lengthen, delete, make_folder, make_pipe, exchange_with_another_seed,
    exchange_within, write_junk, write_junk, write_header, link_outside, lead_upwards,
]  # fmt: skip
DAMAGES_IN_PLACE = [damage for damage in DAMAGES if not damage.__name__.startswith("exchange")]


@pytest.mark.parametrize("kind", KINDS)
def test_intact_folders_read_the_same(intact, kind):
    root, expected = intact[kind]
    assert KINDS[kind].read(root / "0") == expected != KINDS[kind].read(root / "1")


@pytest.mark.parametrize("kind", KINDS)
@examples(quick=80, full=1000)
@given(st.data())
def test_damage_is_told_or_changes_nothing(intact, kind, data):
    """Nothing is executed, nothing hangs, every error is one with a message, and no other weights are accepted."""
    root, expected = intact[kind]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "folder"
        shutil.copytree(root / "0", folder)
        damages = [data.draw(st.sampled_from(DAMAGES))]
        if data.draw(st.integers(0, 3)) == 0:
            # Not two exchanges: with both of its files, a policy is whole, and just another one.
            damages.append(data.draw(st.sampled_from(DAMAGES_IN_PLACE)))
        for damage in damages:
            path = folder / data.draw(st.sampled_from(KINDS[kind].files))
            if path.is_file() and not path.is_symlink() and 0 < path.stat().st_size < 10**9:
                damage(folder, root / "1", path, data.draw)
        found = None
        with watched() as seen:
            try:
                found = KINDS[kind].read(folder)
            except WorkspaceRLError as error:
                assert len(str(error)) > 20
        assert not seen
        assert found in (None, expected)


# ---- somebody who means harm, and knows how checksums are computed --------------------------------------------------

SIZES = st.sampled_from([0, -1, 1, 3, 3, 8, 8, 10**4, 10**6, 10**9, 10**12, 2**63, 10**30, 0.5, "8", None, True])
CLASSES = st.sampled_from(
    [
        "workspace_rl.agents.actors.SquashedGaussianActor", "workspace_rl.agents.actors.DeterministicActor",
        "workspace_rl.agents.critics.ContinuousQAgent", "workspace_rl.agents.q_networks.DiscreteQAgent",
        "workspace_rl.agents.stochastic_actors.MultiCategoricalActor",
        "workspace_rl.agents.stochastic_actors.BernoulliActor", "workspace_rl.agents.stochastic_actors.GaussianActor",
        "workspace_rl.agents.values.FeaturesAgent", "workspace_rl.agents.values.ValueAgent",
        "workspace_rl.agents.exploration.RandomAgent", "workspace_rl.agents.exploration.GaussianNoiseAgent",
        "workspace_rl.composition.Agents", "workspace_rl.composition.KWAgentWrapper", "workspace_rl.agent.Agent",
        "workspace_rl.composition.TemporalAgent", "workspace_rl.agents.entropy.LearnedEntropyCoefficient",
        "workspace_rl.agents.normalization.ObservationNormalizer",
        "workspace_rl.envs.gym_agent.GymAgent", "workspace_rl.compat.bbrl.agents.gymnasium.ParallelGymAgent",
        "workspace_rl.runs.logger.Logger", "workspace_rl.runs.run.Run",
        "workspace_rl.gym_agent.GymAgent", "workspace_rl.logger.Logger", "workspace_rl.GymAgent", "workspace_rl.Run",
        "workspace_rl.policies.files.Path", "workspace_rl.__main__.main",
        "workspace_rl.films.video.record_video", "workspace_rl.experience.collector.Collector",
        "torch.nn.Linear", "torch.nn.Module",
        "torch.nn.DataParallel", "torch.nn.parallel.DistributedDataParallel", "torch.optim.Adam", "torch.nn.Tanh",
        "torch.nn.modules.module.os", "torch.nn.parallel.os.system", "os.system", "subprocess.Popen", "builtins.eval",
        "builtins.exec", "pickle.loads", "torch.load", "ctypes.CDLL", "pathlib.Path", "", ".", "a", "../../x",
        "torch.nn.",
        f"{CANARY}.Agent", f"workspace_rl.{CANARY}.Agent", f"torch.nn.{CANARY}.Agent", 5, None, ["os.system"], {"a": 1},
    ]
)  # fmt: skip
TEXTS = st.sampled_from(
    [
        "true",
        f"{CANARY}:Env-v0",
        "CartPole-v1",
        "../../../etc/passwd",
        "/dev/zero",
        "mlp",
        "nature_cnn",
        "async",
        "touch /tmp/x",
    ]
)
NAMES = st.sampled_from(
    [
        "hidden_sizes",
        "n_critics",
        "n_actions",
        "counts",
        "n",
        "activation",
        "env",
        "n_envs",
        "vectorization",
        "name",
        "x",
        "action_space",
    ]
)
LEAVES = st.one_of(SIZES, TEXTS, st.lists(SIZES, max_size=3), CLASSES.map(lambda one: {"class": one}))


def agents(arguments):
    return st.fixed_dictionaries(
        {"class": CLASSES},
        optional={
            "args": st.lists(arguments, max_size=4),
            "kwargs": st.dictionaries(NAMES, arguments, max_size=2),
            "name": TEXTS,
            "prefix": TEXTS,
        },
    )


ARGUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        agents(inner).map(lambda one: {"agent": one}),
        st.dictionaries(NAMES, inner, max_size=2).map(lambda one: {"dict": one}),
        st.dictionaries(st.sampled_from(["agent", "class", "dict", "eval"]), inner, max_size=2),
    ),
    max_leaves=4,
)
WEIGHTS = st.sampled_from(
    [
        {},
        {"x": torch.zeros(3)},
        {"body.0.weight": torch.zeros(8, 3, dtype=torch.int64)},
        {"model.0.weight": torch.zeros(0, 3), "model.0.bias": torch.zeros(())},
    ]
)


def write_as_if_saved(folder, described, weights):
    checksum = checksum_of(described, weights)
    save_file(weights, folder / "policy.safetensors", metadata={"checksum": checksum})
    (folder / "policy.yaml").write_text(yaml.safe_dump({"agent": described, "checksums": [checksum]}))


@pytest.fixture(scope="module")
def little_memory():
    """Let no more than a few gigabytes be claimed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    claimed = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (claimed + 4 * 10**9, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@examples(quick=150, full=2000)
@given(described=agents(ARGUMENTS), weights=WEIGHTS)
def test_hostile_policies_are_told_or_harmless(intact, little_memory, described, weights):
    with tempfile.TemporaryDirectory() as temporary:
        write_as_if_saved(Path(temporary), described, weights)
        with watched() as seen:
            try:
                loaded = load_policy(temporary)
            except PolicyFileError as error:
                assert len(str(error)) > 20
            else:
                assert isinstance(loaded, Agent) and type(loaded).__module__.startswith("workspace_rl.")
        assert not seen


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([3, [10**8], 1], "far larger"),
        ([10**4, [10**4], 1], "far larger"),
        ([3, [10**11], 1], "rebuilt|larger"),
        ([3, [8] * 5000, 1], "far larger"),
        ([3, [2**63], 1], "rebuilt|larger"),
        ([3, [9], 1], r"body.0.weight: \(9, 3\) described, \(8, 3\) stored"),
    ],
)
def test_sizes_that_claim_all_memory_are_refused_before_they_do(intact, little_memory, tmp_path, args, message):
    weights = load_file(intact["policy"][0] / "0" / "policy.safetensors")
    described = {"class": "workspace_rl.agents.actors.SquashedGaussianActor", "args": args}
    write_as_if_saved(tmp_path, described, {name.removeprefix("wrapped."): value for name, value in weights.items()})
    with watched(), pytest.raises(PolicyFileError, match=message):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    "classname",
    [
        "workspace_rl.GymAgent",
        "workspace_rl.envs.gym_agent.GymAgent",
        "workspace_rl.gym_agent.GymAgent",
        "workspace_rl.compat.bbrl.agents.gymnasium.ParallelGymAgent",
    ],
)
def test_policies_hold_no_environments_unless_allowed(intact, tmp_path, classname):
    """An environment's name may import any module; its arguments may start anything."""
    described = {"class": classname, "args": [f"{CANARY}:Env-v0", 1]}
    write_as_if_saved(tmp_path, described, {})
    with watched() as seen, pytest.raises(PolicyFileError, match="holds environments"):
        load_policy(tmp_path)
    assert not seen
    write_as_if_saved(tmp_path, {"class": "workspace_rl.envs.gym_agent.GymAgent", "args": ["CartPole-v1"]}, {})
    load_policy(tmp_path, allow=["workspace_rl.envs.gym_agent.GymAgent"]).close()


def test_a_save_that_is_interrupted_leaves_a_policy(tmp_path, monkeypatch):
    """Whichever of its steps is the last, the folder holds the old policy or the new one."""
    from workspace_rl.machine import files

    expected = [fingerprint(actor_of(seed)) for seed in (0, 1)]
    replace = os.replace
    for survived in range(4):
        folder = tmp_path / str(survived)
        save_policy(actor_of(0), folder)
        left = iter(range(survived))

        def replace_until_the_end(source, target, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(files.os, "replace", replace_until_the_end)
        try:
            save_policy(actor_of(1), folder)
        except KeyboardInterrupt:
            assert survived < 3
        monkeypatch.setattr(files.os, "replace", replace)
        assert fingerprint(load_policy(folder)) == expected[survived >= 2]


@pytest.mark.parametrize(
    "deed",
    [
        lambda: os.system("true"),
        lambda: importlib.import_module(CANARY),
        lambda: Path(os.devnull).write_text(""),
        lambda: pickle.loads(b"cos\nsystem\n."),
    ],
)
def test_the_watch_sees(intact, deed):
    with watched() as seen:
        deed()
    assert seen


def test_the_watch_ends_what_does_not_come_back():
    with pytest.raises(Hang), watched(0.05):
        while True:
            pass
