"""`python -m workspace_rl` is `workspace-rl`."""

import sys

from workspace_rl.cli import main

if __name__ == "__main__":
    sys.exit(main())
