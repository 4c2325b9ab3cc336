"""`python -m workspace_rl.compat.bbrl program.py [arguments]` runs a program written for BBRL."""

import runpy
import sys
from pathlib import Path

from workspace_rl.compat.aliases import install

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m workspace_rl.compat.bbrl program.py [arguments]")
    install()
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
