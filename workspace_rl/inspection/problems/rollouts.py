"""What is wrong with learning from rollouts: advantages along the batch, and ratios without a gradient."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from workspace_rl.inspection.origins.origins import Origins
from workspace_rl.inspection.problems.problem import Problem
from workspace_rl.inspection.tracing.trace import Trace

LOG_PROBABILITIES = ("logprobs", "log_probs", "logprob", "log_prob")


def rollout_mistakes(traced: Trace, chosen: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with advantages and ratios; `chosen` are the variables that the policy writes."""
    for crossing in {one.call.name: one for one in traced.crossings}.values():
        yield Problem(
            "neighbours",
            f"{crossing.call} sums rewards along the {crossing.n_rows} rows of a batch: row i gets what belongs to row "
            "i + 1, which is another environment's. Sum over time: compute returns and advantages on [T, B], before "
            "get_transitions() or flatten(), and let the rows take them along.",
            False,
        )
    told: set[str] = set()
    for ratio in traced.ratios:
        for problem in _of_ratio(ratio.function, ratio.terms, chosen):
            if problem.message not in told:
                told.add(problem.message)
                yield problem


def _of_ratio(function: str, terms: tuple[Origins, Origins], chosen: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with a ratio of probabilities of the stored choice."""
    if not all(_of_stored_choice(one, chosen) for one in terms):
        return
    new, old = sorted(terms, key=lambda one: not one.live)
    names = sorted({net.name for net in new.live} & {net.name for net in old.nets})
    if not names:
        return
    listed = " and ".join(map(repr, names))
    way_out = (
        "Keep the log-probability that acting has written, under a name that the policy does not write again "
        "('old/action_logprobs')."
    )
    if old.live:
        what = f"its gradient reaches {listed} through both of its terms, where it cancels out: nothing is learned"
    else:
        what = f"{listed} of now stands in both of its terms: it is always 1, however far the policy has moved"
    yield Problem("ratio", f"function {function!r} computes a ratio of probabilities, but {what}. {way_out}", False)


def _of_stored_choice(one: Origins, chosen: Collection[str]) -> bool:
    names = {read.variable for read in one.reads if read.stored and read.variable in chosen}
    return any(not name.endswith(LOG_PROBABILITIES) for name in names)
