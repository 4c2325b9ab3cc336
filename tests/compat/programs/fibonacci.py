"""Fibonacci's rabbits, with no reinforcement learning: what a workspace is, and how agents work together on it.

    python fibonacci.py OUTPUT_FOLDER [key=value ...]

writes `workspaces.pt`, what every part below has computed, and prints as it goes. `n_steps=30 limit=1000000` counts
further. It takes a few seconds.
"""

import os
import sys
from pathlib import Path

import torch
from bbrl.agents import Agent, Agents, CopyTAgent, EpisodesDone, KWAgentWrapper, PrintAgent, TemporalAgent
from bbrl.workspace import Workspace
from omegaconf import OmegaConf

params = {"n_steps": 12, "limit": 100.0}


class FirstNumbers(Agent):
    """Writes the numbers everything starts from: one column for each sequence."""

    def __init__(self, *numbers):
        super().__init__()
        self.numbers = torch.nn.Parameter(torch.tensor(numbers))

    def forward(self, t, **kwargs):
        if t == 0:
            self.set(("fib", 0), self.numbers)


class NextNumber(Agent):
    """Reads steps t and t - 1, and writes step t + 1: a workspace grows when somebody writes beyond its end."""

    def forward(self, t, **kwargs):
        number = self.get(("fib", t))
        before = self.get(("fib", t - 1)) if t > 0 else torch.zeros_like(number)
        self.set(("fib", t + 1), number + before)


class Stop(Agent):
    """Says of each sequence whether its next number is beyond a limit, as a number: what is not zero is true."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, t, **kwargs):
        self.set(("stop", t), (self.get(("fib", t + 1)) > self.limit).float())


class Multiple(Agent):
    """Has a keyword of its own: all the agents of a composition get the same ones, and each takes what it knows."""

    def forward(self, t, factor=1.0, **kwargs):
        self.set((f"{self.prefix}multiple", t), factor * self.get(("fib", t)))


class IsEven(Agent):
    def forward(self, t, **kwargs):
        self.set(("even", t), self.get(("fib", t)) % 2 == 0)


class Ratios(Agent):
    """Needs no time: it reads the whole sequence and writes a whole variable."""

    def forward(self, **kwargs):
        numbers = self.get("fib")
        self.set("ratio", numbers[1:] / numbers[:-1])


def snapshot(workspace):
    """What is in a workspace now; the variables need not have the same number of steps."""
    return {key: workspace.get_full(key).detach().clone() for key in workspace.keys()}


def count(cfg, record):
    """A rule, repeated over time."""
    rule = TemporalAgent(Agents(FirstNumbers(1.0, 2.0), NextNumber()))

    workspace = Workspace()
    rule(workspace, n_steps=cfg.n_steps)
    print("the numbers of the first sequence:", workspace["fib"][:, 0].tolist())
    record.append(snapshot(workspace))

    # Time is only a number: the same workspace goes on from where it stopped.
    rule(workspace, t=cfg.n_steps, n_steps=3)
    record.append(snapshot(workspace))

    # And the last two numbers may become the first two of another workspace's start.
    shorter = workspace.get_time_truncated_workspace(2, 7)
    shorter.copy_n_last_steps(1)
    record.append(snapshot(shorter))
    record.append(snapshot(shorter.subtime(1, 4).select_batch(torch.tensor([1, 0, 1]))))


def count_until(cfg, record):
    """The end of the work may be decided by what is in the workspace."""
    rule = Agents(FirstNumbers(1.0, 3.0), NextNumber(), Stop(cfg.limit))

    # Until all the sequences are beyond the limit.
    workspace = Workspace()
    TemporalAgent(rule)(workspace, t=0, stop_variable="stop")
    print("steps until the stop:", len(workspace["stop"]), "of", workspace["stop"].dtype)
    record.append(snapshot(workspace))

    # Or until the time is up: whatever comes first.
    workspace = Workspace()
    TemporalAgent(rule)(workspace, t=0, n_steps=4, stop_variable="stop")
    record.append(snapshot(workspace))


def watch(cfg, record):
    """Agents that look at what others have written, copy it, and remember it."""
    first = FirstNumbers(1.0, 4.0)
    workspace = Workspace()
    TemporalAgent(
        Agents(
            first,
            NextNumber(),
            CopyTAgent("fib", "copy"),
            CopyTAgent("fib", "detached", detach=True),
            # One agent, called with a keyword and without: the prefix keeps what they write apart.
            KWAgentWrapper(Multiple().with_prefix("ten/"), factor=10.0),
            Multiple().with_prefix("plain/"),
            IsEven(),
            # What has once been true stays true.
            EpisodesDone(in_var="even", out_var="seen_even"),
            PrintAgent("fib", "seen_even"),
        )
    )(workspace, t=0, n_steps=6)
    CopyTAgent("fib", "everything")(workspace)
    Ratios()(workspace)
    record.append(snapshot(workspace))

    # The numbers were written with their graphs: how much of the sixth number is due to the first?
    workspace["fib"][6].sum().backward()
    record.append({"gradient": first.numbers.grad.clone()})
    print("needs a gradient:", {key: workspace[key].requires_grad for key in ("fib", "copy", "detached")})

    # Without names, everything there is gets printed. `zero_grad` drops the graphs and keeps the numbers.
    short = workspace.get_time_truncated_workspace(0, 3)
    short.zero_grad()
    PrintAgent()(short, t=2)


def nest(cfg, record):
    """Compositions are agents: they nest, and their parts are found by their names."""
    first = FirstNumbers(2.0, 1.0).set_name("first")
    rule = Agents(NextNumber(name="rule"), Agents(Multiple(name="reader"), IsEven(name="reader"), name="readers"))
    program = Agents(first, TemporalAgent(rule, name="loop"), name="program")

    # The keywords go down to every agent: `t` and `n_steps` to the loop, `factor` to the one that knows it.
    workspace = Workspace()
    program(workspace, t=0, n_steps=5, factor=3.0)
    record.append(snapshot(workspace))

    for name in ("first", "rule", "reader", "readers", "loop", "program", "nobody"):
        print(f"named {name}:", [type(agent).__name__ for agent in program.get_by_name(name)])
    rule[0].name = "renamed"
    print("renamed:", [agent.get_name() for agent in program.get_by_name("renamed")])
    print("parameters:", sum(parameter.numel() for parameter in program.parameters()))

    # A clone has numbers of its own.
    clone = first.clone()
    with torch.no_grad():
        clone.numbers.fill_(4.0)
    for agent in (first, clone):
        workspace = Workspace()
        TemporalAgent(Agents(agent, NextNumber()))(workspace, t=0, n_steps=3)
        record.append(snapshot(workspace))


def handle(cfg, record):
    """A workspace without any agent."""
    workspace = Workspace()
    # Steps that nobody has written are zero.
    workspace.set("late", 3, torch.tensor([1, 2]))
    # A whole variable may be written at once, and afterwards step by step.
    workspace.set_full("whole", torch.arange(8.0).reshape(4, 2))
    workspace.set("whole", 4, torch.tensor([8.0, 9.0]))
    workspace.set("late", 4, torch.tensor([5, 6]))
    print(workspace)
    print("steps:", workspace.time_size(), "sequences:", workspace.batch_size())
    record.append(snapshot(workspace))

    # Several names give several variables.
    late, whole = workspace["late", "whole"]
    print("sums:", late.sum().item(), whole.sum().item(), workspace.get("whole", 2).tolist())

    # A copy is a copy, and `contiguous` makes one block of the steps of each variable.
    copy = Workspace(workspace)
    copy.set("whole", 0, torch.tensor([-1.0, -1.0]))
    record.append(snapshot(copy))
    record.append(snapshot(workspace.contiguous()))

    copy.copy_time(from_time=3, to_time=1, n_steps=2, var_names=["late"])
    record.append(snapshot(copy))
    copy.remove_variable("late")
    copy.clear("whole")
    print("left:", list(copy.keys()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1]).resolve()
    output.mkdir(parents=True, exist_ok=True)
    os.chdir(output)

    cfg = OmegaConf.merge(params, OmegaConf.from_dotlist(sys.argv[2:]))
    record = []
    for part in (count, count_until, watch, nest, handle):
        print(f"-- {part.__name__}: {part.__doc__}")
        part(cfg, record)
    torch.save(record, "workspaces.pt")
