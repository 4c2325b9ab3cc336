"""Where the results of operations come from, by where their arguments do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from workspace_rl.inspection.origins.origins import Comparison, Fit, Net, Origins, Read, is_mask


def join(known: Sequence[Origins], learns: bool) -> Origins:
    """Return the origins of what several values make up together; gradients reach nothing unless it `learns`."""
    if len(known) == 1:
        return alive(known[0], learns)
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
    return alive(joined, learns)


def alive(origins: Origins, learns: bool) -> Origins:
    """Return the origins of a tensor, of which gradients reach nothing unless it `learns`."""
    if learns or not (origins.live or origins.undetached or origins.fits or origins.comparisons):
        return origins
    none: frozenset[Any] = frozenset()
    # What was compared with the reward is then part of what others are compared with.
    weighed = any(is_mask(read) for read in origins.reads)
    early = origins.early | {(net, weighed) for fit in origins.fits for net in fit.nets if net.first}
    return replace(origins, live=none, undetached=none, fits=none, comparisons=none, early=early)


def measured(origins: Origins) -> Origins:
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


def shifted(origins: Origins, step: int, whole: bool = True) -> Origins:
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


def added(joined: Origins, known: Sequence[Origins]) -> Origins:
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
