"""The folder of a run: what is measured, kept and recorded in it, and what can be done with it afterwards.

- `folder`: which files stand in the folder of a run, and how they are written and read.
- `run`: `Run`: what can be done with one: go on with it, load its policies, score and film them.
- `checkpoints`: checkpoints on disk (what they hold: `training.parts.checkpointing`).
- `other_machines`: what may change where a run goes on, and what is said of it.
- `logger`: `Logger`: measurements over a run, into `metrics.csv` and TensorBoard.
- `metrics_file`: `metrics.csv`: how its lines are written, and how it is read.
- `tensorboard_run`: what TensorBoard is told of a whole run.
- `record`: what the folder of a run says, read as mere data: a stranger may have written it.
- `groups`: runs that differ in their seeds alone, together.
- `policy_function`: a policy as a function: an observation in, an action out.
"""

from workspace_rl.runs.logger import Logger
from workspace_rl.runs.metrics_file import read_frame, read_metrics
from workspace_rl.runs.policy_function import policy_function
from workspace_rl.runs.run import Run

__all__ = ["Logger", "Run", "policy_function", "read_frame", "read_metrics"]
