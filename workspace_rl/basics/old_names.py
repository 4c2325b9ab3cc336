"""Names that classes of the library had in earlier versions: files that those have written are full of them."""

#: What files name, agents, environments, wrappers, loggers, and what agents may be built with: the name then, and now.
#: Whoever moves or renames such a class adds a line; it needs none where both names are still good.
_RENAMED = {
    "workspace_rl.agents.networks.EnsembleMLP": "workspace_rl.agents.EnsembleMLP",
    "workspace_rl.agents.q_networks.NatureCNN": "workspace_rl.agents.NatureCNN",
    "workspace_rl.checked_env.CheckedEnv": "workspace_rl.envs.contract.checked_env.CheckedEnv",
    "workspace_rl.collector.Collector": "workspace_rl.Collector",
    "workspace_rl.envs.cartpole_swingup.CartPoleSwingUpEnv": (
        "workspace_rl.envs.simulators.cartpole_swingup.CartPoleSwingUpEnv"
    ),
    "workspace_rl.envs.minitaur.MinitaurBulletEnv": "workspace_rl.envs.simulators.minitaur.MinitaurBulletEnv",
    "workspace_rl.gym_agent.GymAgent": "workspace_rl.GymAgent",
    "workspace_rl.logger.Logger": "workspace_rl.Logger",
    "workspace_rl.replay_buffer.ReplayBuffer": "workspace_rl.ReplayBuffer",
    "workspace_rl.run.Run": "workspace_rl.Run",
    "workspace_rl.seeding.RandomState": "workspace_rl.RandomState",
}


def present_name(name: str) -> str:
    """Return what a class is called now that was called `name` ("module.Class", "module:Class"); others as they are."""
    renamed = _RENAMED.get(name.replace(":", "."))
    if renamed is None:
        return name
    module, _, classname = renamed.rpartition(".")
    return f"{module}:{classname}" if ":" in name else renamed


def former_names(name: str) -> list[str]:
    """Return what the class that is called `name` ("module.Class") now was called before."""
    return [old for old, new in _RENAMED.items() if new == name]
