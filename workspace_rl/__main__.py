"""`python -m workspace_rl` is `workspace-rl`."""

import os
import sys
from pathlib import Path

from workspace_rl.cli import main

if __name__ == "__main__":
    # Python puts the working directory first, from which a stranger's run must import nothing; but a clone that is not
    # installed is found there.
    here = Path.cwd()
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()] and not Path(__file__).is_relative_to(here):
        del sys.path[0]
    sys.exit(main())
