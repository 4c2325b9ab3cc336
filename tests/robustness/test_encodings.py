"""Texts are read and written as UTF-8 whatever the system's encoding is, and printed on any terminal."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workspace_rl.cli.program import build_parser
from workspace_rl.messages.printing import say

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path for folder in ("workspace_rl", "agents", "algos", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
#: Calls that read or write texts, and the place of the argument that may say that it is bytes.
OPENING = {"open": 1, "fdopen": 1, "NamedTemporaryFile": 0, "TemporaryFile": 0, "TextIOWrapper": None}
PROCESSES = {"run", "Popen", "check_output", "check_call", "call", "getoutput", "partial"}


def findings(source):
    """Return the lines of calls that leave the encoding to the system."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        keywords = {one.arg: one.value for one in call.keywords}
        module = getattr(getattr(call.func, "value", None), "id", "")
        if "encoding" in keywords or None in keywords:
            continue
        if name in ("read_text", "write_text"):
            # `write_text(path, text)` of workspace_rl.machine.files is UTF-8, and the metadata of packages too.
            own = isinstance(call.func, ast.Name) or (name == "read_text" and call.args)
            found += [] if own else [call.lineno]
        elif (name in OPENING and module not in ("os", "webbrowser", "zipfile", "tarfile")) or name == "fdopen":
            place = OPENING[name]
            if isinstance(call.func, ast.Attribute) and name == "open" and module not in ("io", "codecs", "builtins"):
                place = 0  # of a path
            texts = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            mode = keywords.get("mode") or (call.args[place] if place is not None and len(call.args) > place else None)
            binary = "b" in str(getattr(mode, "value", "b" if name.endswith("File") and mode is None else ""))
            found += [] if binary or any("b" in one and len(one) < 4 for one in texts) else [call.lineno]
        elif name in PROCESSES and ({"text", "universal_newlines"} & set(keywords) or name == "getoutput"):
            found.append(call.lineno)
    return found


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_no_module_leaves_the_encoding_to_the_system(path):
    assert findings(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "open(path)",
        "open(path, 'w')",
        "path.open()",
        "path.open('a')",
        "path.open(mode='r', errors='replace')",
        "path.read_text()",
        "path.write_text(text)",
        "io.open(path, 'r')",
        "os.fdopen(1, 'w')",
        "tempfile.NamedTemporaryFile('w')",
        "subprocess.run(command, text=True)",
        "partial(subprocess.run, text=True)",
        "io.TextIOWrapper(raw)",
    ],
)
def test_the_search_finds(source):
    assert findings(source) == [1]


@pytest.mark.parametrize(
    "source",
    [
        "open(path, 'rb')",
        "path.open('rb')",
        "path.read_text(encoding='utf-8')",
        "path.read_bytes()",
        "subprocess.run(command, capture_output=True)",
        "os.open(path, flags)",
        "tempfile.NamedTemporaryFile()",
        "write_text(path, text)",
    ],
)
def test_the_search_lets_pass(source):
    assert findings(source) == []


class Terminal:
    """A standard output in an encoding of its own."""

    def __init__(self, encoding):
        self.encoding, self.written = encoding, ""

    def write(self, text):
        text.encode(self.encoding)  # raises where the terminal would
        self.written += text

    def flush(self):
        pass


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "1.00 ± 0.50 → île…"),
        ("latin-1", "1.00 +- 0.50 -> île..."),
        ("ascii", r"1.00 +- 0.50 -> \xeele..."),
        (None, "1.00 ± 0.50 → île…"),
    ],
)
def test_any_terminal_shows_what_is_said(monkeypatch, encoding, shown):
    terminal = Terminal(encoding)
    if encoding is None:
        terminal.write = lambda text: setattr(terminal, "written", terminal.written + text)
    monkeypatch.setattr("sys.stdout", terminal)
    say("1.00 ± 0.50 → île…")
    assert terminal.written == shown + "\n"


def test_a_path_that_is_no_unicode_is_said(monkeypatch):
    monkeypatch.setattr("sys.stdout", terminal := Terminal("utf-8"))
    say(os.fsdecode(b"\xff/run"))
    assert terminal.written == "\\udcff/run\n"


def test_help_is_plain():
    parser = build_parser()
    (commands,) = (one for one in parser._actions if hasattr(one, "choices") and isinstance(one.choices, dict))
    for one in (parser, *commands.choices.values()):
        assert one.format_help().isascii()


def test_the_command_line_runs_on_an_ascii_terminal(tmp_path):
    """Training prints a mean and its deviation, a progress bar, and a path with an accent."""
    small = (
        "total_steps=60 learning_starts=20 n_envs=1 n_steps=4 batch_size=8 nb_evals=2 final_episodes=2 eval_interval=60"
    )
    command = [sys.executable, "-m", "workspace_rl", "train", "sac/pendulum", "record_best=false"]
    command += [f"algorithm.{one}" for one in small.split()]
    command += ["algorithm.architecture.actor_hidden_size=[8]", "algorithm.architecture.critic_hidden_size=[8]"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [*command, f"base_dir={tmp_path}/île", "logger.save_tensorboard=false"],
        env=environment,
        capture_output=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b" +- " in done.stdout and b"\\xeele" in done.stdout


def test_a_folder_that_the_system_cannot_name_is_told(tmp_path):
    program = "from workspace_rl.machine.files import absolute; absolute('\\u00e9t\\u00e9')"
    alone = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run([sys.executable, "-c", program], env=alone, capture_output=True, check=False, cwd=tmp_path)
    assert b"RunFolderError: '\\xe9t\\xe9': names of files are written in ascii here" in ended.stderr
