"""What is wrong with losses: by where values come from and whom gradients reach."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from workspace_rl.inspection.origins.origins import Comparison, Fit, is_mask
from workspace_rl.inspection.origins.trainings import Training
from workspace_rl.inspection.problems.problem import Problem
from workspace_rl.inspection.tracing.trace import Trace


def learning_mistakes(traced: Trace, chosen: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with the losses of a trace; `chosen` are the variables that the policy writes."""
    told: set[tuple[str, str]] = set()
    for training in traced.trainings:
        for comparison in training.origins.comparisons:
            for problem in _of_comparison(traced, training, comparison, chosen):
                key = (problem.kind, problem.message)
                if key not in told:
                    told.add(key)
                    yield problem


def _of_comparison(traced: Trace, training: Training, one: Comparison, chosen: Collection[str]) -> Iterator[Problem]:
    loss = _loss(training)
    for name in dict.fromkeys(net.name for net in one.undetached if net.key in training.keys):
        yield Problem(
            "no detach",
            f"{loss}: the gradient reaches {name!r} through the target, too, and {training.optimizer!r} trains it: the "
            "value of what follows is moved towards the prediction. Compute the target under torch.no_grad(), or "
            "detach() it.",
            False,
        )
    stale = any(read.stored and read.step == 1 and read.variable in chosen for read in one.bootstrapped)
    if one.temporal and not stale:  # a target of the stored choice is told first
        yield from _of_bootstrapping(loss, one)
    for name in _judged_too_early(traced, training, one):
        yield Problem(
            "time",
            f"{loss}: {name!r} judges step 0 where its target needs the value of what follows. Run {name!r} at t=1 and "
            "read step 1 of what it writes.",
            False,
        )
    for fit in one.fits:
        variable = _freshly_chosen(traced, training, fit, chosen)
        if variable:
            yield Problem(
                "fresh action",
                f"{loss} fits the value of a fresh {variable!r} at step 0 to the stored reward, which is that of the "
                f"stored {variable!r}: they do not belong together. Let the critic judge the stored {variable!r}: run "
                "it on the batch as it was sampled, before the policy, or on a workspace of its own.",
                False,
            )


def _of_bootstrapping(loss: str, one: Comparison) -> Iterator[Problem]:
    """Yield what is wrong with what weighs the value of what follows."""
    masks = {read.variable for read in one.bootstrapped if is_mask(read) and read.step != 0}
    names = {mask.rpartition("/")[2] for mask in masks}
    if not names:
        yield Problem(
            "no discount",
            f"{loss} adds the value of what follows to the reward, weighed by neither 'discount' nor 'env/terminated': "
            "it counts after the episode's end, too. Multiply it by workspace.get('discount', 1), which "
            "n_step_transitions writes, or by the discount factor and ~terminated at step 1.",
            False,
        )
    elif names <= {"done", "truncated", "discount"} and ("done" in names) != ("truncated" in names):
        ends = next(mask for mask in masks if mask.endswith(("done", "truncated")))
        meant = f"{ends.rpartition('/')[0]}/terminated".lstrip("/")
        yield Problem(
            "time limit",
            f"{loss} drops the value of what follows where {ends!r} is true, so that an episode that was only cut off "
            f"by a limit of time counts as one that ended. Use {meant!r} (or 'discount' of n_step_transitions alone).",
            False,
        )


def _judged_too_early(traced: Trace, training: Training, one: Comparison) -> Iterator[str]:
    """Yield the names of target networks that judge step 0 and nothing that follows."""
    shapes = traced.owners.shapes
    following = {net.key for net in one.nets if net.next}
    twins_following = {shapes.get(key) for key in following}
    learned = {shapes.get(key) for each in traced.trainings for key in each.keys}
    found: dict[str, None] = {}
    for net, weighed in one.early:
        if net.key in training.keys or net.key in following or shapes.get(net.key) in twins_following:
            continue
        if weighed or shapes.get(net.key) in learned:
            found[net.name] = None
    yield from found


def _freshly_chosen(traced: Trace, training: Training, fit: Fit, chosen: Collection[str]) -> str:
    """Return the variable of the stored choice that a prediction should judge, and does not."""
    for name, layout in traced.batch.items():
        if name not in chosen or name.endswith(("logprobs", "log_probs", "logprob", "log_prob")):
            continue
        if any(read.variable == name and read.stored and read.step != 1 for read in fit.reads):
            continue
        fresh = any(read.variable == name and not read.stored and read.step != 1 for read in fit.reads)
        integers = not layout.dtype.is_floating_point
        others_choice = not integers and any(net.key in fit.acting - training.keys for net in fit.nets)
        if fresh or (integers and fit.greedy) or others_choice:
            return name
    return ""


def _loss(training: Training) -> str:
    names = ", ".join(map(repr, training.losses))
    return f"function {names}" if names else f"the loss of {training.optimizer!r}"


def idle_optimizers(traced: Trace) -> Iterator[Problem]:
    """Yield steps of optimisers for which no gradient has been computed."""
    for idle in traced.idle_steps:
        yield Problem(
            "no gradient",
            f"{idle.optimizer!r} takes a step, but the loss that it minimises (after {idle.call}) depends on none of "
            "its parameters, so nothing is learned. Run the agent that it trains before the loss, without "
            "torch.no_grad() and detach(), and build the optimiser from that agent's parameters.",
            fatal=False,
        )


def broadcasts(traced: Trace) -> Iterator[Problem]:
    """Yield operations that combine each value of a batch with all others."""
    for broadcast in {(one.call.name, one.line): one for one in traced.broadcasts}.values():
        yield Problem(
            "broadcast",
            f"{broadcast.call} combines [B] with [B, 1] (line {broadcast.line}, {broadcast.operation}), which gives "
            "[B, B]: each value of the batch is combined with all others. Bring both to the same shape, for instance "
            "by squeeze(-1) of what a network with one output gives.",
            fatal=False,
        )
