"""Training: the base class of algorithms, the loop that they share, and its parts.

- `algorithm`: the base class: trains into a run folder, and goes on from there.
- `off_policy`: the base class of algorithms that learn from a replay buffer.
- `on_policy`: the base class of algorithms that learn from what their policy has just done.
- `building`: makes environments, agents, learner and scoring as configured.
- `recipe`: puts the parts of the loop together.
- `loop`: collect, learn, log, score, save.
- `parts`: logs, scoring, selection and checkpoints, which the loop asks for the last three.
- `resuming`: which checkpoint a run goes on from, and what is said of it.
- `rank_run`: what ranks other than the first have in place of the run's folder.
- `finishing`: the end of a run: its best policy's score and film.
"""

from workspace_rl.training.algorithm import Algorithm
from workspace_rl.training.finishing import TrainingResult
from workspace_rl.training.off_policy import OffPolicyAlgorithm
from workspace_rl.training.on_policy import OnPolicyAlgorithm

__all__ = ["Algorithm", "OffPolicyAlgorithm", "OnPolicyAlgorithm", "TrainingResult"]
