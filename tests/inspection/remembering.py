"""Agents with a memory, written by hand as users write them, right ones and wrong ones."""

import torch
from torch import nn

from workspace_rl import Agent
from workspace_rl.agent import before

SIZE = 6


class Remembers(Agent):
    """A recurrent network in front of an actor, which knows nothing of the library's; `where` says where it forgets."""

    def __init__(self, where="begins", cell=nn.GRUCell, name="memory"):
        super().__init__(name)
        self.cell, self.where = cell(3, SIZE), where

    def forward(self, t, **kwargs):
        observation = self.get(("env/env_obs", t))
        state = self.get(("h", t - 1)) if t > 0 else torch.zeros(len(observation), SIZE)
        state = self.cell(observation, self.forget(state, t))
        self.set(("h", t), self.after(state, t))
        self.set(("features", t), state)

    def after(self, state, t):
        if self.where == "when written":
            return state * ~self.get(("env/done", t)).unsqueeze(-1)
        return state

    def forget(self, state, t):
        timestep, done = self.get(("env/timestep", t)), self.get(("env/done", t))
        begins = timestep == 0
        match self.where:
            case "never" | "when written":
                return state
            case "at t = 0":
                return state * 0 if t == 0 else state
            case "a step early":
                begins = done
            case "a step late":
                begins = timestep == 1
            case "a step late, by the step before":
                begins = self.get(("env/timestep", t - 1)) == 0 if t > 0 else begins
            case "by done of the step before":
                begins = self.get(("env/done", t - 1)) if t > 0 else begins
            case "early and where it begins":
                begins = begins | done
            case "late and where it begins":
                begins = begins | (timestep == 1)
            case "elsewhere":
                begins = ~begins
            case "times done":
                begins = ~done
            case "always":
                begins = begins | True
            case "all together":
                begins = begins.any().expand_as(begins)
            case "the first environment alone":
                begins = begins & (torch.arange(len(begins)) == 0)
            case "after terminated":
                begins = self.get(("env/terminated", t - 1)) if t > 0 else begins
            case "after truncated":
                begins = self.get(("env/truncated", t - 1)) if t > 0 else begins
        return torch.where(begins.unsqueeze(-1), torch.zeros_like(state), state)


class RemembersCell(Remembers):
    """The same with an LSTM, of which a part may be forgotten alone."""

    def __init__(self, parts=("h", "c"), name="memory"):
        super().__init__("begins", nn.LSTMCell, name)
        self.parts = parts

    def forward(self, t, **kwargs):
        observation = self.get(("env/env_obs", t))
        state = {}
        for part in ("h", "c"):
            state[part] = self.get((part, t - 1)) if t > 0 else torch.zeros(len(observation), SIZE)
            state[part] = self.forget(state[part], t) if part in self.parts else state[part]
        hidden, cell = self.cell(observation, (state["h"], state["c"]))
        self.set(("h", t), hidden)
        self.set(("c", t), cell)
        self.set(("features", t), hidden)


class Hides(Agent):
    """Keeps what it remembers to itself."""

    def __init__(self, keep="attribute", resets=True, name="memory"):
        super().__init__(name)
        self.cell, self.keep, self.resets = nn.GRUCell(3, SIZE), keep, resets
        self.h = None
        self.seen = []
        if keep == "buffer":
            self.register_buffer("state", torch.zeros(1, SIZE))

    def forward(self, t, **kwargs):
        observation = self.get(("env/env_obs", t))
        state = {"attribute": self.h, "list": self.seen[-1] if self.seen else None}.get(self.keep)
        state = self.state if self.keep == "buffer" else state
        if state is None or len(state) != len(observation):
            state = torch.zeros(len(observation), SIZE)
        if self.resets:
            state = state * (self.get(("env/timestep", t)) > 0).unsqueeze(-1)
        state = self.cell(observation, state)
        match self.keep:
            case "attribute":
                self.h = state
            case "list":
                self.seen.append(state)
            case "buffer":
                self.state = state
        self.set(("features", t), state)


class Acts(Agent):
    """Acts by features."""

    def __init__(self, variable="features", size=SIZE, name="actor"):
        super().__init__(name)
        self.variable, self.model = variable, nn.Linear(size, 1)

    def forward(self, t, **kwargs):
        self.set(("action", t), self.model(self.get((self.variable, t))).tanh())


class Wrong(Agent):
    """Reads or writes its memory at another step, or in other rows."""

    def __init__(self, how, name="memory"):
        super().__init__(name)
        self.how = how
        self.cell = nn.GRU(3, SIZE) if how == "batch as time" else nn.GRUCell(3, SIZE)

    def forward(self, t, **kwargs):
        observation = self.get(("env/env_obs", t))
        ahead = self.how == "written ahead"
        state = self.read(t, torch.zeros(len(observation), SIZE)) * (self.get(("env/timestep", t)) > 0).unsqueeze(-1)
        if self.how == "batch as time":
            state, _ = self.cell(observation, state[:1])
        else:
            state = self.cell(observation, state)
        self.set(("h", t + ahead), state)
        self.set(("features", t), state)

    def read(self, t, zeros):
        match self.how:
            case "at t":
                return self.get(("h", t))
            case "at t, but for the first":
                if t == 0:
                    self.set(("h", t), zeros)
                return self.get(("h", t))
            case "zeros at t":
                self.set(("h", t), zeros)
                return self.get(("h", t))
            case "written ahead":
                return self.get(("h", t)) if t else zeros
            case "without a beginning":
                return self.get(("h", t - 1))
            case "the last one":
                return self.get(("h", t - 1)) if "h" in self.workspace else zeros
            case _:
                state = self.get(("h", t - 1)) if t else zeros
                return state.roll(1, 0) if self.how == "other rows" else state


class RunsAgain(Agent):
    """Runs at a step, or over all of time at once, as learning does it."""

    def __init__(self, how="", name="memory"):
        super().__init__(name)
        self.how, self.cell = how, nn.GRU(3, SIZE)

    def forward(self, t=None, **kwargs):
        observation, begins = self.get("env/env_obs", t), self.get("env/timestep", t) == 0
        known = before("h") in self.workspace and not t
        state = self.get((before("h"), 0)) if known else torch.zeros(observation.shape[-2], SIZE)
        if t is None:
            if self.how == "begins with what is stored" and "h" in self.workspace:
                state = self.get(("h", 0))
            outputs = []
            for one, new in zip(observation, begins, strict=True):
                state = state if self.how == "goes on" else state * ~new.unsqueeze(-1)
                state = self.cell(one[None], state[None])[1][0]
                outputs.append(state)
            state = torch.stack(outputs)
        else:
            state = self.get(("h", t - 1)) if t else state
            state = self.cell(observation[None], (state * ~begins.unsqueeze(-1))[None])[1][0]
        self.set("h", t, state) if t is not None else self.set("h", state)
        self.set("features", t, state) if t is not None else self.set("features", state)
