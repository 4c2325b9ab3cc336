"""Why an update could not be compiled, in full sentences, and what can be done about it."""

from __future__ import annotations

import os
import re
import sysconfig
import tempfile

import torch

#: Where what a compiler says begins with a complaint rather than with a note or a warning.
_COMPLAINT = re.compile(r"\berror\b|undefined reference|cannot find|No such file", re.IGNORECASE)


def why_not_compile() -> str:
    """Return why updates cannot be compiled with this version of torch, or an empty text."""
    if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
        return f"torch {torch.__version__} cannot trace whole updates as 2.13 can"
    return ""


def reason_of(error: BaseException) -> str:
    """Return what stands in the way of one graph, where in the program it stands, and the way out if there is one."""
    inner = getattr(error, "inner_exception", None) or error
    if isinstance(inner, torch._inductor.exc.InvalidCxxCompiler):
        tried = os.environ.get("CXX", "g++")
        return (
            f"no C++ compiler was found ({tried!r} was tried), which PyTorch needs. Install one, such as g++, or name "
            "yours in the environment variable CXX; 'compile: false' is eager without this warning."
        )
    if isinstance(inner, torch._inductor.exc.CppCompileError):
        return _compiler_reason(inner)
    return _tracing_reason(str(error))


def _compiler_reason(error: torch._inductor.exc.CppCompileError) -> str:
    spaced = _paths_with_spaces()
    if spaced:
        listed = " and ".join(f"{path!r} ({what})" for what, path in spaced.items())
        return (
            f"PyTorch does not quote paths for the C++ compiler, and there is a space in {listed}. Use a path without "
            "one, or 'compile: false' to be eager without this warning."
        )
    lines = [line.strip() for line in error.output.splitlines() if line.strip()]
    complaint = next(filter(_COMPLAINT.search, lines), lines[-1] if lines else "it said nothing")
    return f"the C++ compiler {error.cmd[0]!r} failed: {complaint}"


def _paths_with_spaces() -> dict[str, str]:
    """Return the paths with spaces of what takes part in compiling, by what they are."""
    paths = {
        "where torch is installed": os.path.dirname(torch.__file__),
        "where Python is installed": sysconfig.get_config_var("LIBDIR") or "",
        "the cache, TORCHINDUCTOR_CACHE_DIR": torch._inductor.runtime.cache_dir_utils.cache_dir(),
        "for temporary files, TMPDIR": tempfile.gettempdir(),
    }
    return {what: path for what, path in paths.items() if re.search(r"\s", path)}


def _tracing_reason(text: str) -> str:
    """Return what of an error's text is for the reader: what could not be traced, why, and the line of the program.

    The rest is advice on how to change the compiler.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    what = lines[0] if lines else "it gave no reason"
    # Errors of the program itself stand in what is meant for developers.
    context = [line.partition(": ")[2] for line in lines if line.startswith("Developer debug context: raised")]
    explanation = context or [line.partition(": ")[2] for line in lines if line.startswith("Explanation: ")]
    where = [line for line in lines if line.startswith("File ")]
    sentences = [one.rstrip(". ") for one in (what, *explanation, *where[-1:])]
    return ". ".join(sentences) + "."
