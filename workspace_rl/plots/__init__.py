"""Pictures of training, policies and critics."""

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
