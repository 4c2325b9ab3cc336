"""The distribution: what is in it, what it costs to import, how it is installed."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def python(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, **options).stdout


def test_every_folder_with_code_is_packaged():
    packages = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {"workspace_rl"}
    for top in ("workspace_rl", "agents", "algos", "configs"):
        for file in (ROOT / top).rglob("*"):
            if file.suffix in (".py", ".yaml"):
                parts = file.parent.relative_to(ROOT).parts
                found.add(".".join(parts if top == "workspace_rl" else ("workspace_rl", *parts)))
    assert found == packages


def test_importing_loads_nothing_slow():
    program = (
        "import workspace_rl, sys\n"
        "slow = ('moviepy', 'tensorboard', 'matplotlib', 'IPython', 'torch._dynamo')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    assert python("-c", program) == "[]\n"


@pytest.fixture(scope="module")
def clean_environment(tmp_path_factory):
    """An environment with nothing but the wheel (and this one's other packages, seen from outside)."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            folder,
            ROOT,
        ],
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    python("-m", "venv", str(folder / "venv"))
    other = Path(next(path for path in sys.path if path.endswith("site-packages")))
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    # A path file would run the editable installation's hook, too; a plain path does not.
    (site / "dependencies.pth").write_text(f"{other}\n")
    target = folder / "venv" / "bin" / "python"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            target,
            "install",
            "--quiet",
            "--no-deps",
            "--force-reinstall",
            wheel,
        ],
        check=True,
    )
    return folder / "venv" / "bin"


def test_the_wheel_works_by_itself(clean_environment, tmp_path):
    program = (
        "import workspace_rl, workspace_rl.agents, workspace_rl.algos, workspace_rl.config as c\n"
        "print(workspace_rl.__file__); print(c.shipped_configs()); print(c.load_config('sac/pendulum').algo)\n"
        "import importlib.resources as r; print((r.files('workspace_rl.report') / 'page.css').is_file())"
    )
    output = subprocess.run(
        [clean_environment / "python", "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert (
        str(clean_environment.parent) in output
        and "sac/cartpole_continuous" in output
        and output.endswith("sac\nTrue\n")
    )
    version = subprocess.run(
        [clean_environment / "workspace-rl", "--version"], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert version.startswith("workspace-rl 0.")
    top_level = {path.name for path in (clean_environment.parent).glob("lib/python*/site-packages/*")}
    assert not top_level & {"agents", "algos", "configs", "tests", "notebooks"}


def test_no_pickle_and_no_eval_in_the_code():
    import ast

    # The one place that writes a pickle; reading it is up to BBRL's programs.
    allowed = {("agents/agent.py", "torch.save")}
    for top in ("workspace_rl", "agents", "algos"):
        for file in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = [alias.name for alias in node.names] + [getattr(node, "module", None)]
                    assert not {"pickle", "dill", "cloudpickle", "joblib", "shelve"} & set(names), file
                if isinstance(node, ast.Call):
                    call = ast.unparse(node.func)
                    refused = ("eval", "exec", "torch.load", "torch.save", "yaml.load", "yaml.unsafe_load")
                    place = str(file.relative_to(ROOT)).removeprefix("workspace_rl/compat/bbrl/"), call
                    assert call not in refused or place in allowed, (file, call)
