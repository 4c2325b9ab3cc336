"""A run is what it was made by: it records its algorithm's class, and another class neither resumes nor joins it."""

import importlib
import shlex
import shutil
import subprocess
import sys
import types
from functools import partial
from pathlib import Path

import pytest
import yaml
from torch import nn

from tests.robustness.killed_runs import differences
from workspace_rl import GymAgent, Run, load_policy, save_policy
from workspace_rl.agents import SquashedGaussianActor
from workspace_rl.algorithm.names import algorithm_name, find_algorithm, resolve_run_config
from workspace_rl.algorithm.own_algorithms import ways_on
from workspace_rl.algos import SAC, TD3
from workspace_rl.algos.sac import SACConfig
from workspace_rl.basics.classes import class_name, find_allowed
from workspace_rl.cli import main
from workspace_rl.errors import CheckpointError, ConfigError, PolicyFileError, RunFolderError
from workspace_rl.runs.groups import group_runs
from workspace_rl.runs.record import RunRecord


class MaxSAC(SAC):
    """Learns from twice the reward."""

    def update(self, batch):
        batch.set_full("env/reward", 2 * batch.get_full("env/reward"))
        return super().update(batch)


class Actor(SquashedGaussianActor):
    """A user's own."""


OWN = f"{__name__}:MaxSAC"
#: A module of a user's: an algorithm, and an agent of which its policy consists.
MODULE = """
from pathlib import Path
from workspace_rl.agents import SquashedGaussianActor
from workspace_rl.algos import SAC

Path(__file__).with_name("imported").touch()

class MyActor(SquashedGaussianActor):
    pass

class MySAC(SAC):
    def build(self):
        super().build()
        size = self.train_env.observation_size
        self.eval_policy = MyActor(size, [4], self.train_env.action_size).to(self.device)
"""
CONFIG = {
    "gym_env": {"env_name": "Pendulum-v1"},
    "algorithm": {
        "total_steps": 60,
        "n_envs": 1,
        "n_steps": 5,
        "learning_starts": 20,
        "batch_size": 8,
        "nb_evals": 1,
        "eval_interval": 1000,
        "final_episodes": 0,
        "checkpoint_interval": 30,
        "architecture": {"actor_hidden_size": [4], "critic_hidden_size": [4]},
    },
    "logger": {"save_tensorboard": False},
    "matmul_precision": "highest",
    "compile": False,
    "record_best": False,
}


def trained(algorithm, folder, **changes):
    algorithm(CONFIG | {"base_dir": str(folder)} | changes).train(progress=False)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of SAC, and one of a class that is derived from it."""
    folder = tmp_path_factory.mktemp("runs")
    return trained(SAC, folder / "sac"), trained(MaxSAC, folder / "max", algo="sac")


def test_a_run_records_its_class(runs):
    assert [RunRecord(one).algorithm for one in runs] == ["sac", OWN]
    assert [Run(one).algorithm for one in runs] == [SAC, MaxSAC]
    assert [Run(one).config.algo for one in runs] == ["sac", OWN]
    assert [algorithm_name(one) for one in (SAC, TD3, MaxSAC)] == ["sac", "td3", OWN]


def test_another_class_does_not_go_on_with_it(runs):
    plain, own = runs
    longer = ["algorithm.total_steps=90"]
    for run, other in ((own, SAC), (own, TD3), (plain, MaxSAC), (plain, TD3)):
        before = (run / "config.yaml").read_bytes()
        with pytest.raises(ConfigError) as caught:
            other.restore(run, longer)
        assert class_name(other) in str(caught.value) and RunRecord(run).algorithm in str(caught.value)
        assert (run / "config.yaml").read_bytes() == before
    MaxSAC.restore(own, longer).run.unlock()


def test_the_two_are_not_seeds_of_one_configuration(runs):
    assert [[one.path.name for one in group] for group in group_runs([RunRecord(one) for one in runs]).values()] == [
        ["sac"],
        ["max"],
    ]


def test_a_configuration_is_not_given_to_another_class(runs):
    for algorithm, algo in ((SAC, OWN), (TD3, "sac"), (MaxSAC, "td3"), (MaxSAC, "my_module:Other"), (SAC, 5)):
        with pytest.raises(ConfigError, match="algo: .* found, but the class is"):
            algorithm(CONFIG | {"algo": algo})
    for algo in ("sac", OWN, None):
        config = resolve_run_config(MaxSAC, CONFIG | {"algo": algo})
        # The folder's name says whose it is, in letters that every system takes.
        assert config.algo == OWN and "/outputs/Pendulum-v1/MaxSAC-S1_" in config.base_dir


@pytest.mark.parametrize("compiled", [False, True])
def test_a_derived_class_goes_on_bit_for_bit(compiled, tmp_path):
    whole = trained(MaxSAC, tmp_path / "whole", compile=compiled)
    stopped = shutil.copytree(whole, tmp_path / "stopped")
    for file in (stopped / "checkpoints").glob("*-60*"):  # as if it had been killed in between
        file.unlink()
    resumed = MaxSAC.restore(stopped)
    assert resumed.steps == 30
    resumed.train(progress=False)
    assert not differences(whole, stopped)


def test_agents_of_other_classes_do_not_go_on_with_it(tmp_path, monkeypatch):
    """Of which the shapes are the same: nothing but their names tells them apart."""
    run = trained(SAC, tmp_path / "run")
    actor = partial(SquashedGaussianActor, activation=nn.Tanh)
    monkeypatch.setattr("workspace_rl.algos.sac.SquashedGaussianActor", actor)
    with pytest.raises(CheckpointError, match="'actor' was made of ReLU where it is Tanh now"):
        SAC.restore(run, ["algorithm.total_steps=90"])
    monkeypatch.setattr("workspace_rl.algos.sac.SquashedGaussianActor", type("Mine", (SquashedGaussianActor,), {}))
    with pytest.raises(CheckpointError, match="'actor' was made of SquashedGaussianActor where it is Mine now"):
        SAC.restore(run, ["algorithm.total_steps=90"])
    monkeypatch.undo()
    SAC.restore(run, ["algorithm.total_steps=90"]).run.unlock()


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    """A folder with a user's module, and a run of its class, trained from the command line."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_module.py").write_text(MODULE)
    (folder / "mine.yaml").write_text(yaml.safe_dump(CONFIG | {"algo": "my_module:MySAC", "base_dir": "run"}))
    done = command(folder, "train", "mine.yaml")
    assert done.returncode == 0, done.stderr
    return folder


def command(folder, *arguments):
    program = Path(sys.executable).with_name("workspace-rl")
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True)


def test_the_command_line_works_with_what_is_allowed_and_imports_nothing_else(own_run):
    assert RunRecord(own_run / "run").algorithm == "my_module:MySAC"
    (own_run / "imported").unlink()
    refused = command(own_run, "evaluate", "run")
    assert refused.returncode == 1 and "--allow my_module:MySAC" in refused.stderr
    assert not (own_run / "imported").exists()
    # As the message says.
    resumed = command(own_run, "resume", "run", "algorithm.total_steps=70", "--allow", "my_module:MySAC")
    assert resumed.returncode == 0 and "trained for 70 steps" in resumed.stdout, resumed.stderr
    scored = command(own_run, "evaluate", "run", "--episodes", "1", "--allow", "my_module.MySAC")
    assert scored.returncode == 0 and "over 1 episode" in scored.stdout, scored.stderr


@pytest.fixture
def my_module(own_run, monkeypatch):
    monkeypatch.syspath_prepend(own_run)
    yield own_run / "run"
    sys.modules.pop("my_module", None)


def test_so_does_python(my_module, capsys):
    for path in (my_module, my_module / "config.yaml"):
        with pytest.raises(ConfigError, match="nothing is imported because a run names it"):
            Run(path) if path.is_dir() else find_algorithm(yaml.safe_load(path.read_text())["algo"])
    assert "my_module" not in sys.modules
    for allow in (["my_module:MySAC"], ["my_module.MySAC"], ["my_module"]):
        assert Run(my_module, allow).evaluate(1).returns
    module = sys.modules["my_module"]
    run = Run(my_module)  # now the program has the class
    assert run.algorithm is module.MySAC
    assert isinstance(run.policy(), module.MyActor)  # which its module knows
    with pytest.raises(PolicyFileError, match="allow=\\['my_module:MyActor'\\].*--allow my_module:MyActor"):
        load_policy(my_module)
    for allow in (["my_module:MyActor"], ["my_module.MyActor"], ["my_module"], [module.MyActor]):
        assert isinstance(run.policy(allow=allow), module.MyActor)
    assert main(["configs", "my_module:MySAC"]) == 0 and "init_entropy_coef" in capsys.readouterr().out
    config = yaml.safe_load((my_module / "config.yaml").read_text())
    assert type(module.MySAC(config)) is module.MySAC


def test_an_algorithm_does_not_vouch_for_environments(my_module):
    """Which would import whatever the file says."""
    module = importlib.import_module("my_module")
    module.MyEnvs = type("MyEnvs", (GymAgent,), {"__module__": "my_module"})
    folder = my_module / "latest"
    save_policy(module.MyEnvs("Pendulum-v1", 1), folder)
    for run in (Run(my_module), Run(my_module, ["my_module:MySAC"])):
        with pytest.raises(PolicyFileError, match="holds environments, which may import and start anything|may not be"):
            run.policy("latest")


def test_what_is_no_answer_is_told(runs, tmp_path):
    run, _ = runs
    for wrong in (None, 3, {}, b"run", ["run"]):
        for function in (Run, load_policy, SAC.restore):
            with pytest.raises((RunFolderError, PolicyFileError), match="path .*expected"):
                function(wrong)
        with pytest.raises(PolicyFileError, match="path expected"):
            save_policy(SquashedGaussianActor(3, [4], 1), wrong)
    for wrong in (3, [3], None, [None]):
        for function in (partial(Run, run), partial(load_policy, run), Run(run).policy):
            with pytest.raises(ConfigError, match="allow: classes, or names such as"):
                function(allow=wrong)
    with pytest.raises(ConfigError, match="which: 'best', 'latest' or such as .* expected, 'newest' found"):
        Run(run).evaluate(1, "newest")
    for wrong in ("policies/../best", "policies/", "policies/1/2", 3):
        with pytest.raises(ConfigError, match="which: 'best', 'latest' or"):
            Run(run).policy(wrong)
    for wrong in ("5", 0, 1.5, None):
        with pytest.raises(ConfigError, match="n_episodes: a whole number"):
            Run(run).evaluate(wrong)
        with pytest.raises(ConfigError, match="n_episodes: a whole number"):
            Run(run).record(wrong)
    SAC.restore(run, "algorithm.total_steps=90").run.unlock()  # one need not be a list


def test_one_allowed_class_need_not_be_a_list(tmp_path):
    save_policy(Actor(3, [4], 1), tmp_path)
    for allow in (Actor, class_name(Actor), sys.modules[__name__], {Actor}):
        assert type(load_policy(tmp_path, allow)) is Actor


@pytest.mark.parametrize(
    ("algo", "message"),
    [
        ("no_such_module:X", "module 'no_such_module' cannot be imported"),
        ("workspace_rl.algos.sac:SAK", "has no class 'SAK'"),
        ("pathlib:Path", "pathlib:Path is no algorithm"),
        ("workspace_rl.algos.SAC", "Did you mean 'workspace_rl.algos:SAC'?"),
        ("os:getcwd", "no class"),
        ("a b:C", "a name such as 'my_module:MyClass' expected"),
    ],
)
def test_what_is_no_algorithm_is_told(algo, message, capsys):
    assert main(["train", "sac/pendulum", f"algo={algo}"]) == 1
    assert message in capsys.readouterr().err


def test_a_class_under_another_name_is_the_class(tmp_path):
    """`algo: workspace_rl.algos:SAC` is SAC, and its runs say so."""
    assert resolve_run_config(find_algorithm("a:B", [type("B", (SAC,), {"__module__": "a"})]), CONFIG).algo == "a:B"
    assert find_algorithm("workspace_rl.algos:SAC", ["workspace_rl.algos:SAC"]) is SAC


def test_a_run_that_is_stopped_says_how_its_own_class_goes_on(runs, tmp_path):
    plain, own = runs
    assert ways_on(plain, "sac", SAC, "best", [SquashedGaussianActor, nn.Linear]) == [
        f"workspace-rl {command} {plain}" for command in ("resume", "evaluate", "record")
    ]
    foreign = type("Foreign", (Actor,), {"__module__": "other"})
    assert ways_on(own, OWN, MaxSAC, "latest", [Actor, foreign]) == [
        f"workspace-rl resume {own} --allow {OWN}",
        f"workspace-rl evaluate {own} --policy latest --allow {OWN} --allow other:Foreign",
        f"workspace-rl record {own} --policy latest --allow {OWN} --allow other:Foreign",
    ]
    spaced = shutil.copytree(plain, tmp_path / "my runs")
    assert shlex.split(ways_on(spaced, "sac", SAC, "best", [])[0])[-1] == str(spaced)
    in_notebook = type("MaxSAC", (SAC,), {"__module__": "__main__"})
    assert ways_on(tmp_path, "__main__:MaxSAC", in_notebook, "latest", []) == [
        f"MaxSAC.restore('{tmp_path}').train()",
        f"Run('{tmp_path}').evaluate(100, 'latest')",
        f"Run('{tmp_path}').record(1, 'latest')",
    ]


# ---- classes that stood in a notebook or a script ---------------------------------------------------------------


@pytest.fixture
def notebook_run(runs, tmp_path, monkeypatch):
    """The run of a class that stood in a notebook, and a module into which its text was moved."""
    module = types.ModuleType("moved")
    monkeypatch.setitem(sys.modules, "moved", module)
    module.MaxSAC = type("MaxSAC", (SAC,), {"__module__": "moved"})
    in_notebook = type("MaxSAC", (SAC,), {"__module__": "__main__"})
    monkeypatch.setattr("workspace_rl.basics.classes.program_name", lambda: "__main__")
    run = trained(in_notebook, tmp_path / "run")
    assert RunRecord(run).algorithm == "__main__:MaxSAC" and Run(run).algorithm is in_notebook
    config = (run / "config.yaml").read_text().replace("__main__:MaxSAC", "__main__:MaxSAC2")  # of another program
    (run / "config.yaml").write_text(config)
    module.MaxSAC2 = type("MaxSAC2", (SAC,), {"__module__": "moved"})
    return run, module.MaxSAC2


def test_the_advice_for_a_class_of_a_notebook_leads_on(notebook_run, capsys):
    run, moved = notebook_run
    assert main(["resume", str(run)]) == 1
    assert "put the class into a module of its own" in capsys.readouterr().err
    assert Run(run, ["moved:MaxSAC2"]).algorithm is moved
    with pytest.raises(ConfigError, match="__main__:MaxSAC2; sac .* is another class"):
        SAC.restore(run)
    with pytest.raises(ConfigError, match="is another class"):
        MaxSAC.restore(run)
    assert main(["evaluate", str(run), "--episodes", "1", "--allow", "moved:MaxSAC2"]) == 0


def test_the_library_s_class_is_never_taken_for_one_of_a_notebook(tmp_path):
    own = type("SAC", (SAC,), {"__module__": "__main__"})
    with pytest.raises(ConfigError, match="is another class"):
        SAC.restore(trained(own, tmp_path / "run"))


def test_the_advice_for_an_agent_of_a_notebook_leads_on(tmp_path, monkeypatch):
    def actor(module):
        return type("MyActor", (SquashedGaussianActor,), {"__module__": module})

    monkeypatch.setattr("workspace_rl.basics.classes.program_name", lambda: "__main__")
    save_policy(actor("__main__")(3, [4], 1), tmp_path)
    with pytest.raises(PolicyFileError, match="stood in a notebook or a program.*allow=\\['my_module:MyActor'\\]"):
        load_policy(tmp_path)
    module = types.ModuleType("my_agents")
    module.MyActor = actor("my_agents")
    monkeypatch.setitem(sys.modules, "my_agents", module)
    for allow in (["my_agents:MyActor"], ["my_agents.MyActor"], [module.MyActor]):
        assert type(load_policy(tmp_path, allow)) is module.MyActor
    with pytest.raises(PolicyFileError):
        load_policy(tmp_path, ["my_agents:Other"])


def test_a_script_s_classes_are_called_after_its_file(tmp_path, monkeypatch):
    program = """
import sys
from workspace_rl.algos import SAC
from workspace_rl.algorithm.names import algorithm_name
from workspace_rl import load_policy, save_policy
from workspace_rl.agents import DeterministicActor
class Mine(SAC): pass
class Actor(DeterministicActor): pass
print(algorithm_name(Mine))
if __name__ == "__main__":
    save_policy(Actor(3, [4], 1), "policy")
    for allow in (Actor, "__main__.Actor", "__main__:Actor", "__main__", "train_mine:Actor", "train_mine"):
        assert type(load_policy("policy", [allow])) is Actor, allow
"""
    (tmp_path / "train_mine.py").write_text(program)
    for arguments in (["train_mine.py"], ["-m", "train_mine"]):
        run = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert run.stdout == "train_mine:Mine\n" and run.returncode == 0, run.stderr
    # From elsewhere, as the message says.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyFileError, match="allow=\\['train_mine:Actor'\\].*under if __name__"):
        load_policy("policy")
    monkeypatch.syspath_prepend(tmp_path)
    assert type(load_policy("policy", ["train_mine:Actor"])).__name__ == "Actor"
    del sys.modules["train_mine"]


def test_nothing_but_what_is_allowed_is_imported(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    for allow in ([], ["evi"], ["evil2"], [MaxSAC], ["workspace_rl"]):
        assert find_allowed("evil:X", allow) is None
        with pytest.raises(ConfigError, match="none of the library's own"):
            find_algorithm("evil:X", allow)
    assert "evil" not in sys.modules
    assert SACConfig().algo == "sac"  # runs that recorded no class are the library's of that name
