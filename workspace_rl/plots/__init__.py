"""Pictures of training, policies and critics.

- `curves`: learning curves, losses, and all the rest that runs measured.
- `maps`: heat-maps of policies and critics.
- `section`: the cut through the observations that a map shows.
- `values`: what a critic expects of an episode, beside what came of it.
- `running`: running the agents that are drawn, without a trace on them.
"""

from workspace_rl.drawing.figures import new_figure, save_figure, show_figure
from workspace_rl.plots.curves import learning_curves, loss_curves
from workspace_rl.plots.maps import critic_map, policy_map
from workspace_rl.plots.running import Runnable
from workspace_rl.plots.section import LARGEST_BOUND, Ranges
from workspace_rl.plots.values import EpisodeValues, episode_values, value_plot

__all__ = [
    "LARGEST_BOUND",
    "EpisodeValues",
    "Ranges",
    "Runnable",
    "critic_map",
    "episode_values",
    "learning_curves",
    "loss_curves",
    "new_figure",
    "policy_map",
    "save_figure",
    "show_figure",
    "value_plot",
]
