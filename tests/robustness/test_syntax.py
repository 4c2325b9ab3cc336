"""Nothing in the library unpickles, evaluates or constructs what stands in a file; one place writes a pickle."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("workspace_rl", "agents", "algos") for path in (ROOT / folder).rglob("*.py"))

PICKLING_MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
BUILTINS = {"eval", "exec"}
#: The one place that writes a pickle, which endangers nobody: BBRL's programs read the file by `torch.load` themselves.
#: What processes that were started by a program tell each other is no file.
TALKING = {
    "workspace_rl/machine/worker_process.py",
    "workspace_rl/machine/worker_loop.py",
    "workspace_rl/collectors/places/ray_actors.py",
    "workspace_rl/learning/state/plain_attributes.py",
}
WRITES_A_PICKLE = "workspace_rl/compat/bbrl/agents/agent.py", "Agent.save_model"
CONSTRUCTING_LOADERS = {
    "load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all",
    "Loader", "FullLoader", "UnsafeLoader", "CLoader", "CFullLoader", "CUnsafeLoader",
}  # fmt: skip


def dotted(node, names):
    """Return `torch.load` for the expression that means it, by whatever name it was imported."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}"
    return ""


def argument(call, name):
    """Return the constant given as keyword `name`, None if there is none."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else "?"
    return None


def findings(source):
    """Return what in a module's text can run code that comes from a file: `[(line, what)]`."""
    tree = ast.parse(source)
    names, found = {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        else:
            continue
        found += [(node.lineno, f"import {one}") for one in modules if PICKLING_MODULES & set(one.split("."))]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = dotted(node, names)
            if name in BUILTINS | {f"builtins.{one}" for one in BUILTINS}:
                found.append((node.lineno, name))
            if name.startswith("yaml.") and name.removeprefix("yaml.") in CONSTRUCTING_LOADERS:
                found.append((node.lineno, name))
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func, names)
        if name in ("torch.load", "torch.serialization.load") and argument(node, "weights_only") is not True:
            found.append((node.lineno, "torch.load without weights_only=True"))
        if name in ("numpy.load", "np.load") and argument(node, "allow_pickle") not in (None, False):
            found.append((node.lineno, "numpy.load with allow_pickle"))
        if name in ("torch.save", "torch.serialization.save", "pandas.read_pickle", "torch.jit.load"):
            found.append((node.lineno, name))
        if name in ("__import__", "builtins.__import__", "importlib.import_module") and isinstance(
            node.args[0], ast.Constant
        ):
            module = str(node.args[0].value)
            if PICKLING_MODULES & set(module.split(".")):
                found.append((node.lineno, f"import {module}"))
    return found


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_no_module_can_run_code_from_a_file(path):
    source = path.read_text()
    expected = []
    if str(path.relative_to(ROOT)) in TALKING:
        expected = [(line, found) for line, found in findings(source) if re.fullmatch(r"import (cloud)?pickle", found)]
        assert expected
    if str(path.relative_to(ROOT)) == WRITES_A_PICKLE[0]:
        found, method = ast.parse(source), WRITES_A_PICKLE[1]
        for name in method.split("."):
            found = next(node for node in found.body if getattr(node, "name", None) == name)
        expected = [(found.body[-1].lineno, "torch.save")]
    assert findings(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads as read",
        "import cloudpickle as safe",
        "from multiprocessing.reduction import pickle",
        "import importlib\nimportlib.import_module('dill')",
        "__import__('marshal')",
        "import torch\ntorch.load(path)",
        "from torch import load as read\nread(path, weights_only=False)",
        "import torch as t\nt.load(path, weights_only=flag)",
        "import torch\ntorch.save(weights, path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "from numpy import load\nload(path, allow_pickle=flag)",
        "eval(text)",
        "run = exec",
        "import builtins\nbuiltins.eval(text)",
        "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "from yaml import unsafe_load as read\nread(text)",
        "import yaml\nyaml.full_load(text)",
        "import yaml\nclass Mine(yaml.Loader): pass",
    ],
)
def test_the_search_finds(source):
    assert findings(source)


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(path, weights_only=True)",
        "import numpy as np\nnp.load(path)\nnp.load(path, allow_pickle=False)",
        "import yaml\nyaml.safe_load(text)",
        "import re\nagent.eval()\nre.compile(pattern)\ntorch.compile(update)",
    ],
)
def test_the_search_lets_pass(source):
    assert not findings(source)


def test_all_folders_are_searched():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == {"workspace_rl", "agents", "algos"}
    assert len(FILES) > 40
