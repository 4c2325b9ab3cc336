"""Runs that were made on another machine: what opens, what may change, and what is said of it."""

import json
import shutil

import pytest
import torch

from tests.algorithm.test_made_by import CONFIG, trained
from workspace_rl import Run, load_policy
from workspace_rl.algos import SAC
from workspace_rl.basics.seeding import RandomState
from workspace_rl.cli import main
from workspace_rl.errors import ConfigError
from workspace_rl.machine import devices
from workspace_rl.runs.checkpoints import Checkpoints, _checksum
from workspace_rl.runs.metrics_file import read_metrics

LONGER = "algorithm.total_steps=90"
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without a GPU")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return trained(SAC, tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def run(made, tmp_path):
    """A run, and a way to say of it and of its checkpoints that they were made otherwise."""
    path = shutil.copytree(made, tmp_path / "run")

    def pretend(machine=(), **options):
        text = (path / "config.yaml").read_text()
        for key, (here, there) in options.items():
            assert f"{key}: {here}" in text
            text = text.replace(f"{key}: {here}", f"{key}: {there}")
        (path / "config.yaml").write_text(text)
        for file in (path / "checkpoints").glob("*.json"):
            manifest = json.loads(file.read_text())
            del manifest["checksum"]
            manifest["state"]["config"] |= {key: there for key, (_, there) in options.items()}
            manifest["state"]["machine"] |= dict(machine)
            file.write_text(json.dumps(manifest | {"checksum": _checksum(manifest)}))
        return path

    return pretend


@NO_GPU
@pytest.mark.parametrize("overrides", [[], ["device=cpu"]])
def test_a_run_of_a_gpu_goes_on_without_one_and_says_so(overrides, run, capsys):
    path = run({"GPU": "NVIDIA"}, device=("cpu", "cuda"))
    assert load_policy(path).device.type == "cpu" and Run(path).evaluate(1).returns
    with pytest.warns(
        UserWarning, match="step 60 under other conditions .device: 'cuda' before, 'cpu' now.*not be bit-"
    ):
        sac = SAC.restore(path, [LONGER, *overrides])
    assert sac.train(progress=False).steps == 90 and Run(path).config.device == "cpu"
    assert max(step for step, _ in read_metrics(path)["eval/return_mean"]) == 90
    longer = SAC.restore(path, ["algorithm.total_steps=100"])  # now it is a run of this machine
    longer.run.unlock()


@NO_GPU
def test_the_command_line_says_so_too(run, capsys):
    path = run(device=("cpu", "cuda"))
    with pytest.warns(UserWarning, match="not be bit-identical"):
        assert main(["resume", str(path), LONGER, "device=cpu"]) == 0
    assert "trained for 90 steps" in capsys.readouterr().out


@NO_GPU
def test_a_new_run_is_not_moved_but_told(tmp_path):
    with pytest.raises(ConfigError, match=r"device: 'cuda' is not available .*device=cpu"):
        SAC(CONFIG | {"base_dir": str(tmp_path / "new"), "device": "cuda"})


@pytest.mark.parametrize(
    "override",
    ["torch_threads=2", "compile=true", "matmul_precision=high", "gym_env.vectorization=sync"],
)
def test_what_depends_on_the_machine_may_change_and_is_told(override, run):
    key, value = override.split("=")
    with pytest.warns(
        UserWarning, match=f"{key}: .* before, .*{value.capitalize() if value == 'true' else value}.* now"
    ):
        SAC.restore(run(), [LONGER, override]).run.unlock()


@pytest.mark.parametrize("override", ["gym_env.timeout=60", "record_best=false", LONGER])
def test_what_changes_nothing_is_not_told(override, run, recwarn):
    SAC.restore(run(), [override]).run.unlock()
    assert not recwarn.list


@pytest.mark.parametrize("override", ["precision=bf16", "algorithm.batch_size=4", "gym_env.env_name=X-v0", "algo=td3"])
def test_what_would_be_another_run_may_not_change(override, run):
    with pytest.raises(ConfigError, match="cannot be changed when a run is resumed.* depends on the machine: device"):
        SAC.restore(run(), [override])


@pytest.mark.parametrize("what", ["processor", "torch", "numpy"])
def test_other_processors_and_versions_are_told(what, run):
    with pytest.warns(UserWarning, match=f"{what}: 'another' before, '.*' now.*matmul_precision=auto"):
        SAC.restore(run({what: "another"}), [LONGER]).run.unlock()


def test_checkpoints_of_older_versions_say_nothing_of_the_machine(run, recwarn):
    path = run()
    for file in (path / "checkpoints").glob("*.json"):
        manifest = json.loads(file.read_text())
        del manifest["checksum"], manifest["state"]["machine"]
        file.write_text(json.dumps(manifest | {"checksum": _checksum(manifest)}))
    SAC.restore(path, [LONGER]).run.unlock()
    assert not recwarn.list and Checkpoints(path / "checkpoints").newest().skipped == []


def test_the_nearest_device(monkeypatch):
    def device(name):
        if name not in there:
            raise ConfigError(name)

    monkeypatch.setattr(devices, "torch_device", device)
    there = {"cpu", "cuda"}
    assert [devices.nearest_device(one) for one in ("cpu", "cuda", "cuda:3", "mps")] == [
        "cpu",
        "cuda",
        "cuda",
        "cpu",
    ]
    there = {"cpu"}
    assert devices.nearest_device("cuda:0") == "cpu"


def test_random_numbers_of_a_gpu_come_from_the_seed_where_none_were_captured(monkeypatch):
    state = RandomState(1)
    with state:
        captured = state.capture()
    state._state = (*state._state[:-1], [torch.ones(16, dtype=torch.uint8)])  # as a GPU's, that was seeded
    state.restore({name: one for name, one in captured.items() if not name.startswith("cuda")})
    assert [one.sum().item() for one in state._state[-1]] == [16]


@pytest.mark.parametrize(
    "changes", [["collectors.where=local"], ["collectors.where=local", "collectors.max_restarts=3"], []]
)
def test_a_run_whose_collectors_live_elsewhere_goes_on_and_says_nothing(changes, tmp_path):
    path = trained(SAC, tmp_path / "run", collectors={"n": 2})
    sac = SAC.restore(path, [LONGER, *changes])  # a warning would be an error
    assert sac.config.collectors.where == ("local" if changes else "process")
    sac.run.unlock()


@pytest.mark.parametrize(
    ("before", "changes", "told"),
    [
        ({"n": 2}, ["collectors.n=3"], "collectors.n: 2 before, 3 now"),
        ({"n": 2}, ["collectors.lag=1", "collectors.n=4"], "collectors.n: 2 before, 4 now; collectors.lag: 0 before"),
        (
            {"n": 2},
            ["collectors.mode=free", "collectors.where=local"],
            "collectors.mode: 'lockstep' before, 'free' now",
        ),
        ({"n": 2}, ["collectors=null"], "collectors: a section with n=2 before, no section now"),
        (None, ["collectors.n=2"], "collectors: no section before, a section with n=2 now"),
    ],
)
def test_a_run_goes_on_with_other_collectors_and_says_so(before, changes, told, tmp_path):
    path = trained(SAC, tmp_path / "run", collectors=before)
    with pytest.warns(UserWarning, match=f"other collectors .{told}.*not be bit-identical") as warned:
        sac = SAC.restore(path, [LONGER, *changes])
    assert len(warned) == 1
    sac.run.unlock()
