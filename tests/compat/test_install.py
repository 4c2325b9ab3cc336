"""How BBRL's names come to mean this library."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from workspace_rl.compat import aliases
from workspace_rl.errors import NotCoveredError


def python(*arguments, **options):
    return subprocess.run([sys.executable, "-W", "ignore", *arguments], capture_output=True, text=True, **options)


def program(text, **options):
    done = python("-c", text, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def aliased(monkeypatch):
    """Run a text in this process where BBRL's names mean this library; the real packages are put back afterwards."""
    real = {name: one for name, one in sys.modules.items() if name.partition(".")[0] in aliases.PACKAGES}
    for name in real:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [aliases._Aliases(aliases.PACKAGES), *sys.meta_path])

    def run(text):
        names = {}
        exec(text, names)
        return names

    yield run
    for name in [name for name in sys.modules if name.partition(".")[0] in aliases.PACKAGES]:
        del sys.modules[name]


INSTALL = "import workspace_rl.compat.bbrl as _; _.install()\n"

#: Everything of BBRL that programs were seen to import.
IMPORTS = """
import bbrl, bbrl_utils
from bbrl import Agent, SeedableAgent, SerializableAgent, TimeAgent, get_arguments, get_class, instantiate_class
from bbrl.agents import Agent, Agents, CopyTAgent, EpisodesDone, KWAgentWrapper, PrintAgent, TemporalAgent, TimeAgent
from bbrl.agents.agent import Agent, KWAgentWrapper, SerializableAgent, TimeAgent, load
from bbrl.agents.gymnasium import GymAgent, ParallelGymAgent, make_env, record_video
from bbrl.agents.seeding import SeedableAgent, SeedableAgentLast, SeedableAgentMean, SeedableAgentSum
from bbrl.agents.utils import Agents, CopyTAgent, EpisodesDone, PrintAgent, TemporalAgent
from bbrl.stats import WelchTTest
from bbrl.utils.chrono import Chrono
from bbrl.utils.distributions import SquashedDiagGaussianDistribution
from bbrl.utils.functional import gae
from bbrl.utils.gymnasium.distributions import DiagGaussianDistribution
from bbrl.utils.logger import Logger, TFLogger, WandbLogger, read_directories, read_directory, read_log
from bbrl.utils.replay_buffer import ReplayBuffer
from bbrl.utils.utils import soft_param_update, vector_to_parameters
from bbrl.visu.plot_critics import plot_critic, plot_discrete_q
from bbrl.visu.plot_policies import plot_policy
from bbrl.workspace import Workspace
from bbrl_utils import setup
from bbrl_utils.algorithms import EpisodicAlgo, EpochBasedAlgo, RLBase
from bbrl_utils.algorithms import iter_episodes, iter_partial_episodes, iter_replay_buffers
from bbrl_utils.env import setup
from bbrl_utils.logger import Logger
from bbrl_utils.nn import build_mlp, build_ortho_mlp, copy_parameters, ortho_init, setup_optimizer, soft_update_params
from bbrl_utils.notebook import IPython, MODE, outputs_dir, setup_tensorboard, testing_mode, tqdm, video_display
from easypip import easyimport, easyinstall, is_notebook
from gymnasium.wrappers import AutoResetWrapper, Autoreset, GrayScaleObservation
from gymnasium.wrappers.autoreset import AutoResetWrapper as Same
from gymnasium.wrappers.time_limit import TimeLimit
assert AutoResetWrapper is Same is Autoreset
from moviepy.editor import VideoFileClip, ipython_display
"""


def test_every_name_that_programs_import_is_there():
    program(INSTALL + IMPORTS)


def test_modules_are_the_librarys_own_and_exist_once(tmp_path):
    text = """
import bbrl.agents, bbrl_utils.nn, workspace_rl
from bbrl import agents, instantiate_class
import workspace_rl.compat.bbrl.agents as same
assert bbrl.agents is agents is same, (bbrl.agents, same)
assert issubclass(bbrl.agents.Agent, workspace_rl.Agent)
assert agents.__spec__.name == agents.__name__ == "workspace_rl.compat.bbrl.agents"
logger = instantiate_class({"classname": "bbrl.utils.logger.TFLogger", "log_dir": "log", "every_n_seconds": 10})
print(type(logger).__module__)
"""
    assert program(INSTALL + text, cwd=tmp_path) == "workspace_rl.compat.bbrl.utils.logger\n"


def test_nothing_is_mixed_with_a_package_that_is_imported_already():
    done = python("-c", "import bbrl\n" + INSTALL)
    assert "PackageConflictError" in done.stderr and "restart the kernel" in done.stderr
    program(INSTALL + INSTALL + "import bbrl\n" + INSTALL)  # twice is no harm


@pytest.mark.parametrize(
    "statement, hint",
    [
        ("from bbrl.agents.gymb import AutoResetGymAgent", "ParallelGymAgent"),
        ("import bbrl.nonsense", "'bbrl.nonsense' is not covered"),
        ("import bbrl.utils.functionalb", "'functional'"),
        ("from bbrl.visu.visu_critics import plot_critic", "'plot_critics'"),
        ("from bbrl.agents import TemporalAgnt", "'TemporalAgent'"),
        ("from bbrl.agents.remote import TemporalAgnt", "'bbrl.agents.remote.TemporalAgnt'"),
        ("from bbrl_utils.nn import soft_update_parameters", "'soft_update_params'"),
    ],
)
def test_names_that_bbrl_has_not_say_what_to_use(aliased, statement, hint):
    with pytest.raises(ImportError) as error:
        aliased(statement)
    assert hint in str(error.value)


@pytest.mark.parametrize(
    "statement, use, hint",
    [
        ("from bbrl.agents import NRemoteAgent", "NRemoteAgent.create(None)", "vectorization='async'"),
        ("from bbrl.agents.asynchronous import AsynchronousAgent as A", "A(None)", "vectorization='async'"),
        ("import bbrl.agents.remote", "bbrl.agents.remote.RemoteAgent(None)", "vectorization='async'"),
        ("from bbrl.agents.gymnasium import VecGymAgent", "VecGymAgent(None)", "ParallelGymAgent"),
        ("from bbrl.visu.play import play", "play(None, None)", "torch.load"),
        (
            "from bbrl.agents import DataLoaderAgent as A",
            "type('Mine', (), {})\nclass Mine(A): pass",
            "an agent of your own",
        ),
        ("from bbrl.utils.utils import make_gym_env", "make_gym_env(3, 'x')", "make_env"),
        ("from bbrl.utils.logger import Logs", "[log for log in Logs]", "read_directories"),
        ("from easypip import get_pip_command", "get_pip_command()", "easyinstall"),
    ],
)
def test_names_that_are_not_covered_fail_when_they_are_used(aliased, statement, use, hint):
    names = aliased(statement)
    with pytest.raises(NotCoveredError) as error:
        exec(use, names)
    assert hint in str(error.value)


def test_looking_at_names_that_are_not_covered_is_no_use(aliased):
    text = """
from typing import Optional
from bbrl.agents import Agent, NRemoteAgent
def close(agent: NRemoteAgent | Optional[NRemoteAgent] = None) -> NRemoteAgent:
    return isinstance(agent, (str, NRemoteAgent)) or issubclass(type(agent), NRemoteAgent)
answer = close(Agent()), repr(NRemoteAgent), hasattr(NRemoteAgent, "__wrapped__")
"""
    answer = aliased(text)["answer"]
    assert answer == (False, "<bbrl.agents.NRemoteAgent, which is not covered>", False)


def real_modules():
    """Yield the modules of the real packages, with the public names that they define, and those that they import."""
    for package in ("bbrl", "bbrl_utils", "easypip"):
        spec = importlib.util.find_spec(package)
        files = Path(spec.origin).parent.rglob("*.py") if spec.submodule_search_locations else [Path(spec.origin)]
        for file in sorted(files):
            name = ".".join((package, *file.relative_to(Path(spec.origin).parent).with_suffix("").parts))
            name = name.removesuffix(".__init__")
            if name.rpartition(".")[2] in ("_version", "platform"):
                continue
            nodes = ast.parse(file.read_text()).body
            defined = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
            imported = [
                (alias.asname or alias.name)
                for node in nodes
                if isinstance(node, ast.ImportFrom | ast.Import)
                for alias in node.names
            ]
            yield name, [one for one in defined if one[0] != "_"], [one for one in imported if one[0] != "_"]


#: Modules whose imports are of packages that this library does without; and what nobody would import from there.
OTHERS = {"bbrl.stats", "bbrl.visu.play", "bbrl.utils.distributions", "bbrl_utils.env", "easypip"}
NOT_THERE = {"pickle", "bz2", "mp", "RNG", "RandomNumberGenerator"}


@pytest.mark.parametrize("module, defined, imported", [pytest.param(*one, id=one[0]) for one in real_modules()])
def test_every_name_of_the_real_modules_is_there(aliased, module, defined, imported):
    for name in {*defined, *([] if module in OTHERS else imported)} - NOT_THERE:
        aliased(f"from {module} import {name}")


def test_a_program_runs_as_it_is(tmp_path):
    (tmp_path / "helper.py").write_text("VALUE = 3\n")
    script = tmp_path / "script.py"
    script.write_text("import sys, bbrl, helper\nprint(bbrl.__name__, sys.argv[1:], helper.VALUE, __name__)\n")
    done = python("-m", "workspace_rl.compat.bbrl", script, "a", "--b")
    assert done.stdout == "workspace_rl.compat.bbrl ['a', '--b'] 3 __main__\n", done.stderr
    assert "usage" in python("-m", "workspace_rl.compat.bbrl").stderr


#: A module of a package, which imports its neighbours relatively, and has work done by processes that are spawned.
MODULE = """
import multiprocessing, os, sys
import bbrl
from .helper import Agent

class Mine(Agent):
    pass

def work(k):
    import bbrl_utils
    return k, bbrl.__name__, bbrl_utils.__name__, issubclass(Mine, Agent), Mine().get_name()

if __name__ == "__main__":
    print(__package__, __name__, sys.argv[1:])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map_async(work, range(2)).get(timeout=100))
"""


@pytest.mark.parametrize("relative", [True, False])
def test_modules_and_programs_have_workers_of_their_own(tmp_path, relative):
    """A worker that cannot import the program dies, and is started again, for ever."""
    folder = tmp_path / "package" / "inner"
    folder.mkdir(parents=True)
    (folder / "helper.py").write_text("from bbrl.agents import Agent\n")
    (folder / "main.py").write_text(MODULE if relative else MODULE.replace(".helper", "helper"))
    options = ["-m", "package.inner.main"] if relative else [folder / "main.py"]
    done = python("-m", "workspace_rl.compat.bbrl", *options, "a", "--b", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one = ("workspace_rl.compat.bbrl", "workspace_rl.compat.bbrl_utils", True, None)
    first, second = done.stdout.splitlines()
    assert first == ("package.inner __main__ ['a', '--b']" if relative else " __main__ ['a', '--b']")
    assert second == str([(k, *one) for k in range(2)])


def test_pytest_runs_as_a_module(tmp_path):
    (tmp_path / "test_it.py").write_text("import bbrl\ndef test_it():\n    assert 'workspace_rl' in bbrl.__name__\n")
    done = python("-m", "workspace_rl.compat.bbrl", "-m", "pytest", "-q", "test_it.py", cwd=tmp_path)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_importing_stays_quick():
    text = "import bbrl.agents.gymnasium, bbrl.workspace, sys\n"
    assert (
        program(INSTALL + text + "print([m for m in ('matplotlib', 'moviepy', 'pandas') if m in sys.modules])")
        == "[]\n"
    )


def test_easypip_installs_what_is_missing_only(monkeypatch):
    from workspace_rl.compat import easypip

    calls = []
    monkeypatch.setattr(subprocess, "run", lambda command, **options: calls.append(command[-1]))
    easypip.easyinstall("bbrl>=99\nbbrl_utils\n# a comment\n\nnumpy>=1\nnot-a-package-at-all>=2; python_version > '3'")
    assert calls == ['not-a-package-at-all>=2; python_version > "3"']
    assert easypip.easyimport("numpy>=1").__name__ == "numpy"
    monkeypatch.setattr("builtins.input", lambda question: "n")
    easypip.easyinstall("not-a-package-at-all", ask=True)
    assert len(calls) == 1
    assert not easypip.is_notebook()
