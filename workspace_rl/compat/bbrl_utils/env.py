"""`bbrl_utils.env`."""

from workspace_rl.compat.easypip import easyinstall
from workspace_rl.config.schema import register_resolvers


def setup(maze_mdp: bool = False, box2d: bool = True) -> None:
    """Install a notebook's simulators unless they are there, and make `${current_time:}` known to OmegaConf."""
    if maze_mdp:
        easyinstall("mazemdp>=1.2.2")
    if box2d:
        # gymnasium's own requirement has to be compiled; this is the same simulator ready-made.
        easyinstall("Box2D>=2.3.10")
    register_resolvers()
