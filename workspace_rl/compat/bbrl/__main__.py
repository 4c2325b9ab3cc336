"""`python -m workspace_rl.compat.bbrl program.py [arguments]` runs a program written for BBRL, `-m module` a module."""

import runpy
import sys
from pathlib import Path

from workspace_rl.compat.aliases import install


def main() -> None:
    """Run what the command line names, as `python` itself would."""
    del sys.argv[0]
    as_module = sys.argv[:1] == ["-m"]
    del sys.argv[: int(as_module)]
    if not sys.argv:
        sys.exit(
            "usage: python -m workspace_rl.compat.bbrl program.py [arguments]\n"
            "       python -m workspace_rl.compat.bbrl -m package.module [arguments]"
        )
    install()
    if as_module:  # found from the working directory, as python -m does
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
