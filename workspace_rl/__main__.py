"""`python -m workspace_rl` is `workspace-rl`."""

import sys

from workspace_rl.cli import main

sys.exit(main())
