"""The slow truth about workspaces: each variable is a list of steps, and nothing is shared."""

from __future__ import annotations

import torch

from workspace_rl.errors import UnknownVariableError, UnwrittenStepError, VariableMismatchError


class Refused(Exception):
    """The model refuses what it is asked; `kind` is the error that the library must raise."""

    def __init__(self, kind):
        super().__init__(kind.__name__)
        self.kind = kind


def require(condition, kind=VariableMismatchError):
    if not condition:
        raise Refused(kind)


class Steps:
    """The steps of a variable (None where nobody wrote), which all have the same shape and dtype."""

    def __init__(self, shape, dtype, steps=()):
        self.shape, self.dtype, self.steps = tuple(shape), dtype, list(steps)

    def get(self, t):
        require(-len(self.steps) <= t < len(self.steps) and self.steps[t] is not None, UnwrittenStepError)
        return self.steps[t]

    def set(self, t, value):
        require((tuple(value.shape), value.dtype) == (self.shape, self.dtype))
        if t < 0:
            require(t + len(self.steps) >= 0, UnwrittenStepError)
            t += len(self.steps)
        while len(self.steps) <= t:
            self.steps.append(None)
        self.steps[t] = value.clone()

    def padded(self):
        return [torch.zeros(self.shape, dtype=self.dtype) if step is None else step for step in self.steps]

    def full(self):
        return torch.tensor([step.tolist() for step in self.padded()], dtype=self.dtype).reshape(
            len(self.steps), *self.shape
        )

    def copy(self):
        return Steps(self.shape, self.dtype, self.steps)


class WorkspaceModel:
    def __init__(self, variables=()):
        self.variables = dict(variables)

    def copy(self):
        return WorkspaceModel({name: variable.copy() for name, variable in self.variables.items()})

    def variable(self, name):
        require(name in self.variables, UnknownVariableError)
        return self.variables[name]

    def changed(self, change):
        """Let `change` work on a copy, so that what is refused changes nothing."""
        twin = self.copy()
        change(twin)
        self.variables = twin.variables

    # ---- one step, whole variables ----

    def set(self, name, t, value):
        def change(model):
            model.variables.setdefault(name, Steps(value.shape, value.dtype)).set(t, value)

        self.changed(change)

    def get(self, name, t):
        return self.variable(name).get(t)

    def set_full(self, name, value):
        require(value.ndim > 0)
        self.variables[name] = Steps(value.shape[1:], value.dtype, [step.clone() for step in value])

    def get_full(self, name):
        return self.variable(name).full()

    def get_several(self, names):
        return [self.get_full(name) for name in names]

    def get_time_truncated(self, name, start, stop):
        return self.get_full(name)[start:stop]

    def remove_variable(self, name):
        self.variable(name)
        del self.variables[name]

    def clear(self):
        self.variables = {}

    # ---- sizes ----

    def time_size(self, name=None):
        sizes = {n: len(variable.steps) for n, variable in self.variables.items()}
        return self.size(sizes, name)

    def batch_size(self, name=None):
        sizes = {n: variable.shape[0] if variable.shape else 0 for n, variable in self.variables.items()}
        return self.size(sizes, name)

    def size(self, sizes, name):
        if name is not None:
            self.variable(name)
            return sizes[name]
        require(len(set(sizes.values())) <= 1)
        return max(sizes.values(), default=0)

    # ---- time ----

    def copy_time(self, start, to, n, names):
        def change(model):
            for name in list(model.variables) if names is None else names:
                variable = model.variable(name)
                require(not any(first < 0 < first + n for first in (start, to)), UnwrittenStepError)
                values = [variable.get(start + k) for k in range(n)]
                for k, value in enumerate(values):
                    variable.set(to + k, value)

        self.changed(change)

    def copy_n_last_steps(self, n, names):
        def change(model):
            for name in list(model.variables) if names is None else names:
                size = len(model.variable(name).steps)
                require(0 <= n <= size)
                model.copy_time(size - n, 0, n, [name])

        self.changed(change)

    def subtime(self, start, stop):
        return WorkspaceModel(
            {name: Steps(v.shape, v.dtype, v.steps[slice(start, stop)]) for name, v in self.variables.items()}
        )

    def select_subtime(self, starts, window):
        selected = {}
        for name, variable in self.variables.items():
            require(variable.shape[:1] == (len(starts),))
            steps = variable.padded()
            require(all(0 <= start <= len(steps) - window for start in starts), UnwrittenStepError)
            rows = [[steps[start + k][b].tolist() for b, start in enumerate(starts)] for k in range(window)]
            rows = torch.tensor(rows, dtype=variable.dtype).reshape(window, *variable.shape)
            selected[name] = Steps(variable.shape, variable.dtype, rows)
        return WorkspaceModel(selected)

    def get_transitions(self, no_final_state, filter_key):
        n_steps = self.time_size()
        require(n_steps >= 2)
        has_batch = all(variable.shape for variable in self.variables.values())
        batch_size = self.batch_size() if has_batch else None
        over = None if no_final_state else self.variable(filter_key)
        if has_batch:
            require(over is None or len(over.shape) == 1)
            indices = [(b,) for b in range(batch_size)]
        else:
            require(over is None or over.shape == ())
            indices = [()]
        ends = None if over is None else over.padded()
        kept = [(t, i) for t in range(n_steps - 1) for i in indices if ends is None or not ends[t][i]]
        pairs = {}
        for name, variable in self.variables.items():
            steps = variable.padded()
            shape = (len(kept), *variable.shape[1 if has_batch else 0 :])
            rows = [
                torch.tensor([steps[t + k][i].tolist() for t, i in kept], dtype=variable.dtype).reshape(shape)
                for k in range(2)
            ]
            pairs[name] = Steps(shape, variable.dtype, rows)
        return WorkspaceModel(pairs)

    # ---- batch ----

    def select_batch(self, indices):
        selected = {}
        for name, variable in self.variables.items():
            require(variable.shape and all(0 <= index < variable.shape[0] for index in indices))
            steps = [step[list(indices)] for step in variable.padded()]
            selected[name] = Steps((len(indices), *variable.shape[1:]), variable.dtype, steps)
        return WorkspaceModel(selected)

    @staticmethod
    def cat_batch(models):
        joined = {}
        for name in dict.fromkeys(name for model in models for name in model.variables):
            require(all(name in model.variables for model in models))
            parts = [model.variables[name] for model in models]
            require(all(part.shape for part in parts))
            require(len({(len(part.steps), part.shape[1:], part.dtype) for part in parts}) == 1)
            shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
            rows = zip(*(part.padded() for part in parts), strict=True)
            steps = [torch.tensor([one for part in row for one in part.tolist()]) for row in rows]
            dtype = parts[0].dtype
            joined[name] = Steps(shape, dtype, [step.reshape(shape).to(dtype) for step in steps])
        return WorkspaceModel(joined)

    def to(self, device):
        return WorkspaceModel({name: Steps(v.shape, v.dtype, v.padded()) for name, v in self.variables.items()})
