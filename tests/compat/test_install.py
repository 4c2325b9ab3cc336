"""How BBRL's names come to mean this library."""

import subprocess
import sys

import pytest


def python(*arguments, **options):
    return subprocess.run([sys.executable, "-W", "ignore", *arguments], capture_output=True, text=True, **options)


def program(text, **options):
    done = python("-c", text, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
from gymnasium.wrappers.time_limit import TimeLimit
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
        ("from bbrl.agents import NRemoteAgent", "vectorization='async'"),
        ("import bbrl.agents.asynchronous", "vectorization='async'"),
        ("from bbrl.agents.gymb import AutoResetGymAgent", "ParallelGymAgent"),
        ("from bbrl.agents.gymnasium import VecGymAgent", "ParallelGymAgent"),
        ("import bbrl.visu.play", "torch.load"),
        ("import bbrl.nonsense", "'bbrl.nonsense' is not covered"),
        ("import bbrl.utils.functionalb", "'functional'"),
        ("from bbrl.visu.visu_critics import plot_critic", "'plot_critics'"),
        ("from bbrl.agents import TemporalAgnt", "'TemporalAgent'"),
        ("from bbrl_utils.nn import soft_update_parameters", "'soft_update_params'"),
    ],
)
def test_names_that_are_not_covered_say_what_to_use(statement, hint):
    done = python("-c", INSTALL + statement)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "Error" in last and hint in last


def test_a_program_runs_as_it_is(tmp_path):
    (tmp_path / "helper.py").write_text("VALUE = 3\n")
    script = tmp_path / "script.py"
    script.write_text("import sys, bbrl, helper\nprint(bbrl.__name__, sys.argv[1:], helper.VALUE, __name__)\n")
    done = python("-m", "workspace_rl.compat.bbrl", script, "a", "--b")
    assert done.stdout == "workspace_rl.compat.bbrl ['a', '--b'] 3 __main__\n", done.stderr
    assert "usage" in python("-m", "workspace_rl.compat.bbrl").stderr


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
