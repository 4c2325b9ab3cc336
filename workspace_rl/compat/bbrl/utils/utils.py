"""`bbrl.utils.utils`."""

from torch import nn
from torch.nn.utils import vector_to_parameters

from workspace_rl.compat.aliases import not_covered
from workspace_rl.optimization import soft_update

__all__ = ["soft_param_update", "vector_to_parameters"]


def soft_param_update(network_to_update: nn.Module, network: nn.Module, rho: float) -> None:
    """Move the weights of `network_to_update` towards those of `network` by the part `rho` of the way."""
    soft_update(network_to_update, network, rho)


__getattr__ = not_covered(
    __name__,
    globals(),
    make_gym_env="bbrl.agents.gymnasium.make_env",
    get_env_dimensions="get_obs_and_actions_sizes() of ParallelGymAgent",
    key_path_in_dict="omegaconf.OmegaConf.select",
    set_value_with_key_path="omegaconf.OmegaConf.update",
    is_vec_of_ones="(vector == 1).all()",
)
