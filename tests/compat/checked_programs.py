"""Prints what `check` says of the update of a BBRL program under the drop-in: `... PROGRAM FOLDER [A B]`.

With A and B, of the program with A replaced by B.
"""

import os
import sys
from pathlib import Path

import torch
from omegaconf import OmegaConf

from workspace_rl import check
from workspace_rl.compat.aliases import install

install()
name, folder, *replaced = sys.argv[1:]
os.chdir(folder)
text = (Path(__file__).parent / "programs" / f"{name}.py").read_text()
if replaced:
    assert replaced[0] in text
    text = text.replace(*replaced)
program = {"__name__": "program"}
exec(compile(text, name, "exec"), program)
program["bbrl_utils"].setup(box2d=False)
cfg = OmegaConf.create(program["params"])
algorithm = program[name.upper()](cfg)
TemporalAgent, Agents = program["TemporalAgent"], program["Agents"]
discrete = name == "dqn"
if discrete:
    networks, targets = TemporalAgent(algorithm.critic), TemporalAgent(algorithm.target_critic)
    optimizer = torch.optim.Adam(algorithm.critic.parameters())
else:
    critics, copies = ([vars(algorithm)[f"{prefix}critic_{number}"] for number in (1, 2)] for prefix in ("", "target_"))
    networks = TemporalAgent(Agents(*critics))
    targets = TemporalAgent(Agents(algorithm.target_actor, algorithm.target_noise, *copies))
    optimizer = torch.optim.Adam([*critics[0].parameters(), *critics[1].parameters()])
    acting = TemporalAgent(Agents(algorithm.actor, critics[0]))
    actor_optimizer = torch.optim.Adam(algorithm.actor.parameters())
losses = program["compute_loss" if discrete else "compute_critic_losses"]


def update(batch):
    """Learn as the program does."""
    found = losses(cfg, batch, networks, targets)
    optimizer.zero_grad()
    (found if discrete else sum(found)).backward()
    optimizer.step()
    if not discrete:
        actor_optimizer.zero_grad()
        program["compute_actor_loss"](batch, acting).backward()
        actor_optimizer.step()


observation_size, action_size = algorithm.train_env.get_obs_and_actions_sizes()
action = torch.zeros(2, 7, dtype=torch.int64) if discrete else torch.zeros(2, 7, action_size)
flags = {f"env/{flag}": torch.zeros(2, 7, dtype=torch.bool) for flag in ("terminated", "truncated", "done")}
observation, reward = torch.zeros(2, 7, observation_size), torch.zeros(2, 7)
print(check(update, inputs={"env/env_obs": observation, "action": action, "env/reward": reward, **flags}))
