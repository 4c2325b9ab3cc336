"""Where the values of an update come from: which reads, which networks, and which of them gradients reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from workspace_rl.inspection.copies.twins import flat
from workspace_rl.inspection.tracing.broadcasting import program_frame
from workspace_rl.inspection.tracing.recording import Source, short_name

#: Operations that add up their arguments, or choose among them; losses compare them.
ADDING = {"add", "radd", "iadd", "sub", "rsub", "isub", "where", "lerp", "addcmul", "subtract", "addcdiv"}
#: Operations after which a temporal-difference error is a loss.
LOSSY = {"square", "pow", "abs", "absolute"}
#: Operations that choose the greatest of several values.
GREEDY = {"max", "amax", "argmax"}


#: Variables that say what follows counts, and endings of the names of those that do not.
MASKS = ("terminated", "truncated", "done", "discount")
NO_MASKS = ("reward", "timestep", "action", "logprobs", "log_probs", "logprob", "log_prob", "obs", "observation")


@dataclass(frozen=True)
class Read:
    """A variable of a workspace that was read."""

    variable: str
    #: 0, 1 (what follows), or None for all steps.
    step: int | None
    #: Whether it is a stored value, not one that the program has computed.
    stored: bool
    #: Of one step, `[B, ...]`.
    shape: tuple[int, ...] = ()
    floating: bool = True


@dataclass(frozen=True)
class Net:
    """A network, and the steps that what it judges comes from."""

    name: str
    key: int
    steps: frozenset[int | None]

    @property
    def next(self) -> bool:
        """Whether it judges what follows."""
        return 1 in self.steps and None not in self.steps

    @property
    def first(self) -> bool:
        """Whether it judges what is stored at step 0, and nothing that follows."""
        return self.steps == {0}


@dataclass(frozen=True)
class Fit:
    """A value that is compared with a reward: the prediction of a loss."""

    reads: frozenset[Read]
    nets: frozenset[Net]
    greedy: bool
    #: The networks that gave something of the shape of an action.
    acting: frozenset[int]


@dataclass(frozen=True)
class Comparison:
    """A prediction that a loss compares with a reward, and with the value of what follows if that is in it."""

    fits: frozenset[Fit]
    #: Whether the reward was added to the value of what follows.
    temporal: bool
    #: What the value of what follows is made of, with all that weighs it.
    bootstrapped: frozenset[Read]
    #: The networks that judge what follows and that gradients reach through it.
    undetached: frozenset[Net]
    #: The networks that judge step 0 where the value of what follows is meant, and whether a mask weighs them.
    early: frozenset[tuple[Net, bool]]
    nets: frozenset[Net]


@dataclass(frozen=True)
class Origins:
    """Where one tensor comes from."""

    reads: frozenset[Read] = frozenset()
    nets: frozenset[Net] = frozenset()
    #: Those of `nets` that gradients reach through it.
    live: frozenset[Net] = frozenset()
    greedy: bool = False
    acting: frozenset[int] = frozenset()
    # Of a comparison that is being made: see there.
    fits: frozenset[Fit] = frozenset()
    temporal: bool = False
    bootstrapped: frozenset[Read] = frozenset()
    undetached: frozenset[Net] = frozenset()
    early: frozenset[tuple[Net, bool]] = frozenset()
    #: What losses within it have compared.
    comparisons: frozenset[Comparison] = frozenset()
    lossy: bool = False

    @property
    def reward(self) -> bool:
        """Whether a stored reward is in it."""
        return any(one.stored and is_reward(one.variable) for one in self.reads)

    @property
    def next(self) -> bool:
        """Whether a network's judgement of what follows is in it."""
        return any(one.next for one in self.nets)

    @property
    def predicts(self) -> bool:
        """Whether it is, or holds, a value at step 0 that can learn."""
        return any(one.first for one in self.live)


NOTHING = Origins()


def is_reward(variable: str) -> bool:
    """Return whether a variable is a reward, by its name."""
    return variable.rpartition("/")[2] == "reward"


@dataclass(eq=False)
class Training:
    """A loss whose gradient an optimiser has used."""

    origins: Origins
    #: The names of the functions that computed it.
    losses: tuple[str, ...]
    part: str
    #: The optimiser's name.
    optimizer: str
    #: The names of the agents and modules of which it trains parameters, in the order of the optimiser.
    trains: tuple[str, ...]
    #: Their keys, as in `Net`.
    keys: frozenset[int]


@dataclass(eq=False)
class _Gradient:
    """A gradient that has been computed and not yet been used."""

    origins: Origins
    losses: tuple[str, ...]
    parameters: dict[int, Tensor]


@dataclass(eq=False)
class Owners:
    """To whom parameters belong."""

    #: By the parameter's id: the owner's key and name.
    known: dict[int, tuple[int, str]] = field(default_factory=dict)
    #: By key: the shapes of the owner's parameters.
    shapes: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def add(self, module: nn.Module, name: str) -> None:
        """Let the parameters of `module` be its own."""
        self.shapes[id(module)] = tuple(sorted(tuple(one.shape) for one in module.parameters()))
        for parameter in module.parameters():
            self.known[id(parameter)] = (id(module), name)

    def of(self, parameter: Tensor) -> tuple[int, str]:
        """Return key and name of the owner of a parameter."""
        return self.known.get(id(parameter), (id(parameter), "a parameter"))


class OriginWatch(TorchFunctionMode):
    """Follows values from workspaces and networks to losses, within a `with` block."""

    def __init__(self, owners: Owners, part: str, window: int, action_shapes: Iterable[tuple[int, ...]] = ()) -> None:
        """Watch a part of a program on batches of `window` steps."""
        super().__init__()
        self.owners, self.part = owners, part
        # Several steps become the two of a transition.
        self.windows = {window, 2}
        self.action_shapes = set(action_shapes)
        self.trainings: list[Training] = []
        self._known: dict[int, tuple[Tensor, Origins]] = {}
        self._steps: dict[int, list[Origins]] = {}
        self._makers: dict[int, tuple[str, ...]] = {}
        self._pending: list[_Gradient] = []

    # ---- what is read ---------------------------------------------------------------------------------------------

    def of(self, value: Tensor) -> Origins:
        """Return where a tensor comes from."""
        return self._known.get(id(value), (None, NOTHING))[1]

    def read(self, value: Tensor, variable: str, step: int, source: Source | None) -> None:
        """Note that a step of a variable was read."""
        known = self.of(value)
        self._keep(value, replace(known, reads=known.reads | {self._read(value, variable, step, source)}))

    def read_whole(
        self, value: Tensor, variable: str, steps: Sequence[Tensor | None], sources: dict[int, Source]
    ) -> None:
        """Note that a whole variable was read, of which `steps` are the tensors if it was written step by step."""
        if steps:
            parts = []
            for step, one in enumerate(steps):
                known = NOTHING if one is None else self.of(one)
                read = self._read(value[step], variable, step, sources.get(step))
                parts.append(replace(known, reads=known.reads | {read}))
            self._steps[id(value)] = parts
            self._keep(value, self._joined(parts, value.requires_grad))
        else:
            known, example = self.of(value), value[0] if len(value) else value
            source = sources.get(0)
            self._keep(value, replace(known, reads=known.reads | {self._read(example, variable, None, source)}))

    def _read(self, value: Tensor, variable: str, step: int | None, source: Source | None) -> Read:
        stored = source is not None and not source.fresh
        step = step if step is None else min(step, 1)
        return Read(variable, step, stored, tuple(value.shape), value.is_floating_point())

    def _keep(self, value: Tensor, origins: Origins) -> None:
        self._known[id(value)] = (value, origins)

    # ---- what is computed -----------------------------------------------------------------------------------------

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `function` and note where what it returns comes from."""
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if name == "backward":  # a tensor's, or torch.autograd's for several
            for one in flat([args[0] if args else kwargs["tensors"]]):
                self._gradient(one, _leaves(one))
            return function(*args, **kwargs)
        result = function(*args, **kwargs)
        if name == "grad" and function is torch.autograd.grad:
            inputs = flat(args[1] if len(args) > 1 else kwargs["inputs"])
            used = {id(one): one for one, grad in zip(inputs, flat(result), strict=False) if grad is not None}
            for output in flat(args[0] if args else kwargs["outputs"]):
                self._gradient(output, used)
            return result
        bare = name.strip("_")
        given = [one for one in flat([*args, kwargs]) if isinstance(one, Tensor)]
        if not given or name == "__get__" or bare in ("detach", "clone", "contiguous"):
            if given and isinstance(result, Tensor):
                self._pass(given[0], result)
            return result
        if function is Tensor.__getitem__:
            self._index(args[0], args[1], result)
            return result
        outputs = [one for one in flat(result) if isinstance(one, Tensor)]
        changed = args[0] if args and (bare == "setitem" or any(one is args[0] for one in outputs)) else None
        if changed is not None:
            outputs = [changed, *([changed._base] if changed._base is not None else [])]
        if outputs:
            self._compute(bare, args, given, outputs)
        if function is Tensor.unbind and outputs:
            for index, one in enumerate(outputs):
                self._keep(one, self._at(args[0], index, None))
        return result

    def _pass(self, given: Tensor, result: Tensor) -> None:
        """What is another view of the same values comes from where they come from."""
        known = self.of(given)
        if id(given) in self._steps:
            self._steps[id(result)] = [_alive(one, result.requires_grad) for one in self._steps[id(given)]]
        if known is not NOTHING and result is not given:
            self._keep(result, _alive(known, result.requires_grad))

    def _compute(self, name: str, args: Sequence[Any], given: list[Tensor], outputs: list[Tensor]) -> None:
        parameters = [one for one in given if isinstance(one, nn.Parameter)]
        values = [(one, self.of(one)) for one in given if not isinstance(one, nn.Parameter)]
        known = [origins for _, origins in values if origins is not NOTHING]
        if not known and not parameters:
            return
        learns = any(one.requires_grad for one in outputs)
        joined = self._joined(known, learns)
        if parameters:
            joined = self._judged(joined, parameters, learns, outputs[0])
        if name in ADDING or "loss" in name:
            joined = _added(joined, known)
        if joined.next and not joined.predicts:
            joined = replace(joined, bootstrapped=joined.reads)
        if name in GREEDY and joined.nets:
            joined = replace(joined, greedy=True)
        scalar = outputs[0].ndim == 0 and any(one.ndim for one in given)
        if name in LOSSY or "loss" in name or scalar:
            joined = _measured(joined)
        if outputs[0].ndim == 0:
            self._made(given, outputs[0])
        for one in outputs:
            self._keep(one, joined)
            self._steps.pop(id(one), None)

    def _made(self, given: Sequence[Tensor], scalar: Tensor) -> None:
        """Note the functions that have computed what may be a loss: those of its summands, or the one that runs."""
        makers = dict.fromkeys(name for one in given for name in self._makers.get(id(one), ()))
        frame = None if makers else program_frame(2)
        while frame is not None and frame.f_code.co_name in ("<listcomp>", "<genexpr>", "<dictcomp>", "<lambda>"):
            frame = frame.f_back
        self._makers[id(scalar)] = tuple(makers) or ((short_name(frame.f_code),) if frame is not None else ())

    def _judged(self, joined: Origins, parameters: Sequence[Tensor], learns: bool, output: Tensor) -> Origins:
        """Add the networks to which `parameters` belong."""
        # Where networks run on what other networks gave, the steps are those of what they were all given.
        inputs = (one for one in joined.reads if not is_reward(one.variable))
        steps = frozenset(one.step for one in inputs if one.stored)
        nets = {}
        for parameter in parameters:
            key, name = self.owners.of(parameter)
            nets[key] = Net(name, key, steps), parameter.requires_grad
        added = frozenset(net for net, _ in nets.values())
        live = frozenset(net for net, trainable in nets.values() if trainable and learns)
        acting = joined.acting
        if tuple(output.shape) in self.action_shapes:
            acting = acting | {net.key for net in added}
        return replace(joined, nets=joined.nets | added, live=joined.live | live, acting=acting)

    @staticmethod
    def _joined(known: Sequence[Origins], learns: bool) -> Origins:
        if len(known) == 1:
            return _alive(known[0], learns)
        none: frozenset[Any] = frozenset()
        joined = Origins(
            reads=none.union(*(one.reads for one in known)),
            nets=none.union(*(one.nets for one in known)),
            live=none.union(*(one.live for one in known)),
            bootstrapped=none.union(*(one.bootstrapped for one in known)),
            temporal=any(one.temporal for one in known),
            undetached=none.union(*(one.undetached for one in known)),
            fits=none.union(*(one.fits for one in known)),
            early=none.union(*(one.early for one in known)),
            comparisons=none.union(*(one.comparisons for one in known)),
            lossy=any(one.lossy for one in known),
            greedy=any(one.greedy for one in known),
            acting=none.union(*(one.acting for one in known)),
        )
        return _alive(joined, learns)

    # ---- steps ----------------------------------------------------------------------------------------------------

    def _index(self, value: Tensor, index: Any, result: Tensor) -> None:
        masks = [self.of(one) for one in flat([index]) if isinstance(one, Tensor)]
        origins = self._at(value, index, result)
        masks = [one for one in masks if one is not NOTHING]
        if masks:
            origins = self._joined([origins, *masks], result.requires_grad)
            if origins.next and not origins.predicts:
                origins = replace(origins, bootstrapped=origins.reads)
        if origins is not NOTHING:
            self._keep(result, _alive(origins, result.requires_grad))

    def _at(self, value: Tensor, index: Any, result: Tensor | None) -> Origins:
        """Return where some steps of a tensor come from, if its first dimension is time."""
        first = index[0] if isinstance(index, tuple) and index else index
        known, steps = self.of(value), self._steps.get(id(value))
        size = value.shape[0] if value.ndim else 0
        if isinstance(first, int) and not isinstance(first, bool):
            if steps is not None and -len(steps) <= first < len(steps):
                return steps[first]
            return _shifted(known, min(first % max(size, 1), 1)) if size in self.windows else known
        if isinstance(first, slice) and (steps is not None or size in self.windows):
            chosen = range(*first.indices(size))
            relative = 1 if chosen and chosen[0] > 0 else 0 if len(chosen) < size else None
            if steps is None:
                return known if relative is None else _shifted(known, relative)
            parts = [steps[one] for one in chosen]
            joined = self._joined(parts, value.requires_grad) if parts else known
            if relative is not None and len(steps) > 2:
                joined = _shifted(joined, relative, whole=False)
            if result is not None and relative is None:
                self._steps[id(result)] = parts
            return joined
        return known

    # ---- gradients ------------------------------------------------------------------------------------------------

    def _gradient(self, loss: Tensor, parameters: dict[int, Tensor]) -> None:
        origins = self.of(loss)
        self._pending.append(_Gradient(origins, self._makers.get(id(loss), ()), dict(parameters)))

    def stepped(self, optimizer: torch.optim.Optimizer, name: str) -> None:
        """Note that an optimiser uses the gradients of its parameters."""
        own = [one for group in optimizer.param_groups for one in group["params"]]
        for gradient in self._pending:
            used = [self.owners.of(one) for one in own if gradient.parameters.pop(id(one), None) is not None]
            if used:
                names = tuple(dict.fromkeys(owner for _, owner in used))
                keys = frozenset(key for key, _ in used)
                training = Training(gradient.origins, gradient.losses, self.part, name, names, keys)
                self.trainings.append(training)

    def cleared(self, optimizer: torch.optim.Optimizer) -> None:
        """Note that an optimiser has forgotten the gradients of its parameters."""
        own = {id(one) for group in optimizer.param_groups for one in group["params"]}
        for gradient in self._pending:
            gradient.parameters = {key: one for key, one in gradient.parameters.items() if key not in own}


def _alive(origins: Origins, learns: bool) -> Origins:
    """Return the origins of a tensor, of which gradients reach nothing unless it `learns`."""
    if learns or not (origins.live or origins.undetached or origins.fits or origins.comparisons):
        return origins
    none: frozenset[Any] = frozenset()
    # What was compared with the reward is then part of what others are compared with.
    weighed = any(is_mask(read) for read in origins.reads)
    early = origins.early | {(net, weighed) for fit in origins.fits for net in fit.nets if net.first}
    return replace(origins, live=none, undetached=none, fits=none, comparisons=none, early=early)


def _measured(origins: Origins) -> Origins:
    """Return the origins of a loss: what was compared is now settled."""
    if not origins.reward:  # the square in a log-probability, for instance
        return origins
    none: frozenset[Any] = frozenset()
    comparisons = origins.comparisons
    if origins.fits:
        made = (origins.fits, origins.temporal, origins.bootstrapped, origins.undetached, origins.early, origins.nets)
        comparisons = comparisons | {Comparison(*made)}
    return replace(
        origins, comparisons=comparisons, lossy=True, fits=none, temporal=False, bootstrapped=none, undetached=none,
        early=none,
    )  # fmt: skip


def _shifted(origins: Origins, step: int, whole: bool = True) -> Origins:
    """Return the origins of one step of a tensor that holds all, or of several that stand for one."""

    def reads(group: frozenset[Read]) -> frozenset[Read]:
        return frozenset(replace(one, step=step) if one.step is None or not whole else one for one in group)

    def nets(group: frozenset[Net]) -> frozenset[Net]:
        return frozenset(
            replace(one, steps=frozenset({step}) if one.steps and (None in one.steps or not whole) else one.steps)
            for one in group
        )

    return replace(
        origins,
        reads=reads(origins.reads),
        nets=nets(origins.nets),
        live=nets(origins.live),
        bootstrapped=reads(origins.bootstrapped) if step else frozenset(),
        acting=origins.acting,
    )


def _added(joined: Origins, known: Sequence[Origins]) -> Origins:
    """Note what an addition, a subtraction or a loss brings together."""
    if any(one.lossy for one in known) or not joined.reward:
        return joined
    temporal, undetached, fits, early = joined.temporal, joined.undetached, joined.fits, joined.early
    for one in (one for one in known if not one.reward):
        if one.next:
            temporal = True
            undetached = undetached | {net for net in one.live if net.next}
        if one.predicts:
            fits = fits | {Fit(one.reads, one.nets, one.greedy, one.acting)}
        else:
            weighed = any(is_mask(read) for other in known for read in other.reads)
            early = early | {(net, weighed) for net in one.nets if net.first}
    return replace(joined, temporal=temporal, undetached=undetached, fits=fits, early=early)


def is_mask(read: Read) -> bool:
    """Return whether a variable may say whether, and by how much, what follows counts."""
    name = read.variable.rpartition("/")[2]
    if name in MASKS:
        return True
    one_number = len(read.shape) == 1 or (len(read.shape) == 2 and read.shape[1] == 1)
    return one_number and read.stored and not name.endswith(NO_MASKS)


def _leaves(loss: Tensor) -> dict[int, Tensor]:
    """Return the tensors that a gradient of `loss` reaches, by their ids."""
    found: dict[int, Tensor] = {}
    seen: set[Any] = set()
    stack = [loss.grad_fn] if loss.grad_fn is not None else []
    while stack:
        node: Any = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            found[id(variable)] = variable
        stack += [one for one, _ in node.next_functions if one is not None]
    return found
