"""The distribution: what is in it, what it costs to import, how it is installed."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.robustness.test_syntax import TALKING
from workspace_rl.cli import main

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
        "slow = ('moviepy', 'tensorboard', 'matplotlib', 'IPython', 'torch._dynamo', 'ray')\n"
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
        "import workspace_rl, workspace_rl.agents, workspace_rl.algos, workspace_rl.config.sources as c\n"
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


WHERE = (
    "import importlib.resources, sys, workspace_rl, workspace_rl.algos, workspace_rl.agents.actors\n"
    "import workspace_rl.config.sources as c\n"
    "for one in (workspace_rl, workspace_rl.algos.sac, workspace_rl.agents.actors): print(one.__file__)\n"
    "print(importlib.resources.files('workspace_rl.configs') / 'sac')\n"
    "assert c.load_config('sac/pendulum').algo == 'sac' and 'dqn/cartpole' in c.shipped_configs()\n"
    "assert issubclass(workspace_rl.algos.SAC, sys.modules['workspace_rl.training.off_policy'].OffPolicyAlgorithm)\n"
    "assert not {'algos', 'agents', 'configs'} & set(sys.modules)"
)
CODE = ("workspace_rl", "agents", "algos", "configs")


def files_found(python, folder):
    run = subprocess.run([python, "-c", WHERE], capture_output=True, text=True, cwd=folder)
    assert run.returncode == 0, run.stderr
    return [Path(line) for line in run.stdout.splitlines()]


def clone(folder):
    for one in CODE:
        shutil.copytree(ROOT / one, folder / one, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize("installed", ["wheel", "editable"])
def test_in_a_clone_its_own_folders_are_what_is_imported(installed, clean_environment, tmp_path):
    """Whatever is installed: a wheel, or another clone."""
    target = clean_environment / "python" if installed == "wheel" else sys.executable
    here = clone(tmp_path / "my clone")
    assert files_found(target, here) == [
        here / "workspace_rl" / "__init__.py",
        here / "algos" / "sac.py",
        here / "agents" / "actors.py",
        here / "configs" / "sac",
    ]
    # What is edited there is what runs.
    sac = here / "algos" / "sac.py"
    sac.write_text(sac.read_text().replace("sac", "SAK", 1) + "\nprint('edited')\n")
    listed = subprocess.run(
        [target, "-m", "workspace_rl", "configs", "sac"], capture_output=True, text=True, cwd=here, check=True
    )
    assert listed.stdout.startswith("edited\n") and "init_entropy_coef" in listed.stdout
    # In a folder within it nothing of it is in the way of what is installed.
    found = files_found(target, here / "configs")
    assert not any(one.is_relative_to(here) for one in found) and len({*map(str, found)}) == 4


def test_a_command_says_when_the_clone_around_it_is_not_what_runs(tmp_path, monkeypatch, capsys):
    clone(tmp_path / "clone")
    folder = tmp_path / "clone" / "configs"
    monkeypatch.chdir(folder)
    with pytest.warns(
        UserWarning, match=f'not of the clone {tmp_path}/clone.*pip install --editable "{tmp_path}/clone"'
    ):
        assert main(["train", "sac/pendulum", "algo=nothing"]) == 1
    monkeypatch.chdir(ROOT / "configs")
    assert main(["train", "sac/pendulum", "algo=nothing"]) == 1


def test_other_people_s_folders_beside_the_package_are_not_taken_for_ours(clean_environment, tmp_path):
    shutil.copytree(ROOT / "workspace_rl", tmp_path / "workspace_rl", ignore=shutil.ignore_patterns("__pycache__"))
    for one in CODE[1:]:
        (tmp_path / one).mkdir()
        (tmp_path / one / "__init__.py").write_text("raise SystemExit('taken')")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "something-else"\n')
    program = "import workspace_rl.algos"
    run = subprocess.run([clean_environment / "python", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert "No module named 'workspace_rl.algos'" in run.stderr and "taken" not in run.stderr


# ---- how to install it ----------------------------------------------------------------------------------------------


def test_nowhere_is_it_said_to_be_in_an_index():
    """Where a package of the library's name is a stranger's, or none."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # By any command, with whatever options, quotation marks and extras; a path may end in the name.
    command = re.compile(
        r"\b(?:pip|uv|pipx|conda|poetry)\b[^\n`]*\b(?:install|add)\b[^\n`#]*(?<![/\w.-])workspace[-_]rl\b"
    )
    own = "workspace-rl"
    assert all(
        map(command.search, (f"x: pip install -q '{own}[a]'", f"uv pip install --pre {own}", f"poetry add {own}"))
    )
    found = []
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".ipynb", ".yaml", ".txt", ".html", "") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace").replace("\\", "")
            found += [(name, hit) for hit in command.findall(text)]
    assert found == []


def test_the_advice_installs_from_where_the_library_comes(clean_environment, tmp_path):
    program = "from workspace_rl.messages.installation import how_to_install as how; print(how('plots'))"

    def advice(target, folder):
        run = subprocess.run([target, "-c", program], capture_output=True, text=True, cwd=folder, check=True)
        return run.stdout.strip()

    assert advice(sys.executable, tmp_path) == f'pip install --editable "{ROOT}[plots]"'
    assert advice(clean_environment / "python", ROOT) == f'pip install --editable "{ROOT}[plots]"'
    # A wheel says nothing of the clone that it was built from.
    assert advice(clean_environment / "python", tmp_path) == (
        'pip install --editable ".[plots]", in the folder of a clone of the repository'
    )


@pytest.mark.parametrize("target", [f"{ROOT}[plots]", "..[plots,atari]"], ids=["messages", "notebooks"])
def test_pip_understands_the_advice(target):
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-build-isolation", "--quiet"]
    done = subprocess.run(
        [*command, "--editable", target], cwd=ROOT / "notebooks", capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_notebooks_install_from_the_clone_that_they_lie_in():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        lines = [line.strip() for cell in cells for line in cell.splitlines() if "pip install" in line]
        assert lines and all(re.fullmatch(r'%pip install -q --editable "\.\.\[[a-z,]+\]"', one) for one in lines), path


def test_no_pickle_and_no_eval_in_the_code():
    import ast

    # The one place that writes a pickle; reading it is up to BBRL's programs.
    allowed = {("agents/agent.py", "torch.save")}
    for top in ("workspace_rl", "agents", "algos"):
        for file in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = [alias.name for alias in node.names] + [getattr(node, "module", None)]
                    pickles = {"pickle", "dill", "cloudpickle", "joblib", "shelve"} & set(names)
                    assert not pickles or str(file.relative_to(ROOT)) in TALKING, file
                if isinstance(node, ast.Call):
                    call = ast.unparse(node.func)
                    refused = ("eval", "exec", "torch.load", "torch.save", "yaml.load", "yaml.unsafe_load")
                    place = str(file.relative_to(ROOT)).removeprefix("workspace_rl/compat/bbrl/"), call
                    assert call not in refused or place in allowed, (file, call)
