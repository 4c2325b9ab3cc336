"""Names of the packages that this library stands in for, without being covered: they are there, and fail when used."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any, NoReturn

from workspace_rl.errors import NotCoveredError, did_you_mean

#: By module, the names that it has in the real package. Modules that are named here exist.
NAMES = {
    "bbrl.agents": "DataLoaderAgent ShuffledDatasetAgent NRemoteAgent RemoteAgent",
    "bbrl.agents.asynchronous": "AsynchronousAgent f",
    "bbrl.agents.dataloader": "DataLoaderAgent ShuffledDatasetAgent",
    "bbrl.agents.gymnasium": "VecGymAgent",
    "bbrl.agents.remote": "NRemoteAgent RemoteAgent f",
    "bbrl.stats": "run_permutation_test",
    "bbrl.test_transition": "debug_transitions",
    "bbrl.utils.logger": "Log Logs flattify get_directories plot_dataframe",
    "bbrl.utils.utils": "AsynchronousAgent get_env_dimensions make_gym_env nRemoteParamAgent nRemoteDistinctAgents",
    "bbrl.visu.play": "load_agent play",
    "bbrl.visu.plot_trajectories": "plot_trajectory",
    "bbrl.visu.svpg_histograms": "plot_histograms",
    "bbrl.workspace": "CompactSharedTensor take_per_row_strided",
    "bbrl_utils.config": "",
    "easypip": "IPython Installer cuda_version get_pip_command install ipython parse_requirements",
}
#: What to use instead; modules and names of older versions, too.
INSTEAD = {
    "asynchronous remote AsynchronousAgent RemoteAgent NRemoteAgent nRemoteParamAgent nRemoteDistinctAgents "
    "CompactSharedTensor": "workspace_rl.GymAgent(vectorization='async')",
    "VecGymAgent": "ParallelGymAgent, or workspace_rl.GymAgent(vectorization='async')",
    "gyma gymb": "ParallelGymAgent of bbrl.agents.gymnasium, with make_env(..., autoreset=True) for training",
    "dataloader ShuffledDatasetAgent DataLoaderAgent": "an agent of your own whose forward() writes a batch at t=0",
    "make_gym_env": "make_env of bbrl.agents.gymnasium",
    "get_env_dimensions": "get_obs_and_actions_sizes() of ParallelGymAgent",
    "run_permutation_test": "bbrl.stats.PermutationTest",
    "debug_transitions": "print(workspace)",
    "Log Logs flattify": "the pandas.DataFrame that read_directories returns",
    "plot_dataframe": "DataFrame.plot",
    "get_directories": "Path.rglob",
    "plot_trajectories plot_trajectory": "bbrl.visu.plot_policies",
    "svpg_histograms plot_histograms": "matplotlib's hist()",
    "play load_agent": "torch.load, and record_video of bbrl.agents.gymnasium",
    "take_per_row_strided": "select_subtime() of Workspace",
    "Installer install get_pip_command parse_requirements": "easyinstall of easypip",
    "IPython ipython": "is_notebook of easypip, or bbrl_utils.notebook.IPython",
    "cuda_version": "torch.version.cuda",
}
#: What BBRL's modules have from elsewhere, and programs import from them: by the module that it comes from, its names.
FROM_ELSEWHERE = {
    "abc": "ABC",
    "bbrl": "instantiate_class",
    "bbrl.agents.agent": "Agent",
    "bbrl.agents.gymnasium": "GymAgent",
    "bbrl.visu.common": "final_show",
    "bbrl.workspace": "Workspace",
    "functools": "lru_cache partial",
    "gymnasium": "Env Space Wrapper make",
    "gymnasium.core": "ActType ObsType",
    "gymnasium.spaces": "flatdim",
    "gymnasium.wrappers": "Autoreset RecordVideo",
    "omegaconf": "DictConfig OmegaConf",
    "pathlib": "Path",
    "torch": "Tensor",
    "torch.utils.tensorboard": "SummaryWriter",
    "tqdm": "tqdm",
    "typing": "Any Callable Dict Iterator List Optional Tuple Union",
}
#: And whole modules, by the names that they have there.
MODULES = {one: one for one in ("copy", "logging", "os", "random", "time", "torch", "warnings")}
MODULES |= {"gym": "gymnasium", "nn": "torch.nn", "np": "numpy", "plt": "matplotlib.pyplot"}


def looked_up(module: str, name: str) -> Any:
    """Return what `from module import name` gives in the real package, where this library's module lacks the name.

    Raises:
        LookupError: the real module has no such name either.
    """
    if name in NAMES.get(module, "").split():
        return NotCovered(f"{module}.{name}")
    if name in MODULES:
        return importlib.import_module(MODULES[name])
    origin = next((one for one, names in FROM_ELSEWHERE.items() if name in names.split()), module)
    if origin == module:
        raise LookupError(name)
    return getattr(importlib.import_module(origin), name)


def why_not_covered(name: str, known: Iterable[str] = ()) -> str:
    """Return the text that says that a name is not covered, and what to use instead."""
    last = name.rpartition(".")[2]
    instead = next((text for names, text in INSTEAD.items() if last in names.split()), None)
    hint = f" Use {instead} instead." if instead else did_you_mean(last, known)
    return f"workspace_rl stands in for {name.partition('.')[0]!r}, but {name!r} is not covered.{hint}"


class NotCovered:
    """Stands for a class or a function that is not covered: it may be imported, and says so when it is used."""

    def __init__(self, name: str) -> None:
        """Stand for `name`, "package.module.Name"."""
        self.__name__ = name

    def _fail(self, *args: object, **kwargs: object) -> NoReturn:
        raise NotCoveredError(why_not_covered(self.__name__))

    __call__ = __getitem__ = __iter__ = __mro_entries__ = _fail

    def __getattr__(self, name: str) -> Any:
        """Fail, unless Python asks for something of its own."""
        if name.startswith("__"):
            raise AttributeError(name)
        self._fail()

    def __instancecheck__(self, one: object) -> bool:
        """Nothing is an instance of it."""
        return False

    def __subclasscheck__(self, one: type) -> bool:
        """No class is one of its."""
        return False

    def __or__(self, other: object) -> Any:
        """Let it stand in annotations."""
        return Any

    __ror__ = __or__

    def __repr__(self) -> str:
        """Return the name."""
        return f"<{self.__name__}, which is not covered>"
