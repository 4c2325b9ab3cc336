"""What decides how numbers are rounded here: runs repeat bit for bit where all of this is the same."""

from __future__ import annotations

import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torch", "numpy", "gymnasium", "bbrl-gymnasium")
#: Of /proc/cpuinfo: names of processors alone are often those of a whole family ("Intel(R) Xeon(R) Processor").
PROCESSOR = ("model name", "cpu family", "model", "stepping")
#: Instructions that libraries of mathematics choose their loops by.
INSTRUCTIONS = re.compile(r"fma|sse\w*|avx\w*|amx\w*|f16c")


def this_machine(*, compiled: bool = False) -> dict[str, str]:
    """Return the processor and versions; with `compiled`, the compiler of compiled updates, too."""
    found = {"processor": _processor(), "kernels of torch": torch.backends.cpu.get_cpu_capability()}
    found |= {"python": platform.python_version(), "libc": "-".join(platform.libc_ver())}
    found |= {package: version(package) for package in PACKAGES}
    if compiled:
        found["compiler"] = _first_line("g++", "--version")
    return found


def changes(recorded: dict[str, str], *, compiled: bool = False) -> list[str]:
    """Return in what this machine differs from the one that made a record."""
    here = this_machine(compiled=compiled)
    return [
        f"{key}: {recorded.get(key)} recorded, {value} here"
        for key, value in here.items()
        if recorded.get(key) != value
    ]


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    facts = dict(re.findall(r"^(.+?)\s*: (.*)$", text, re.MULTILINE))
    instructions = sorted(filter(INSTRUCTIONS.fullmatch, facts.get("flags", "").split()))
    return ", ".join([*(facts.get(one, "") for one in PROCESSOR), *instructions])


def _first_line(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError):
        return "none"
