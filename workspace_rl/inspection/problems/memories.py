"""What is wrong with what agents remember: where they forget it, and where they keep it."""

from __future__ import annotations

from collections.abc import Iterator

from workspace_rl.agent import before
from workspace_rl.inspection.memories import faults
from workspace_rl.inspection.problems.problem import Problem
from workspace_rl.inspection.recording.loops import BEFORE
from workspace_rl.inspection.tracing.trace import Trace

RESET = (
    "Read it at t - 1, and put zeros in its place in the environments where 'env/timestep' is 0 at t, and in no others."
)
LEAKS = "what was seen in one episode changes what is done in the next"
#: By fault and detail: the kind of the problem, and what is said of {agent} and its memory {name}.
_WORDS = {
    (faults.NEVER, ""): (
        "not reset",
        f"{{agent}} does not reset its memory {{name}} where an episode begins: {LEAKS}. {RESET}",
    ),
    (faults.PARTLY, ""): (
        "not reset",
        f"{{agent}} does not reset its memory {{name}} in all environments and at all beginnings: {LEAKS}. {RESET}",
    ),
    **{
        (faults.PARTLY, end): (
            "not reset",
            f"{{agent}} resets its memory {{name}}, but not after an episode that was {end}: {LEAKS}. {RESET}",
        )
        for end in ("terminated", "truncated")
    },
    (faults.EARLY, ""): (
        "reset early",
        "{agent} resets its memory {name} one step early, at the last frame of an episode, where 'env/done' is true: "
        f"that frame is judged without what came before. {RESET}",
    ),
    (faults.EARLY, "leaks"): (
        "reset early",
        "{agent} resets its memory {name} one step early, at the last frame of an episode, where 'env/done' is true: "
        f"that frame is judged without what came before, and the next episode begins with what was seen there. {RESET}",
    ),
    (faults.LATE, ""): (
        "reset late",
        "{agent} resets its memory {name} one step late, at the second frame of an episode, not at the first: "
        f"{LEAKS}. {RESET}",
    ),
    (faults.LATE, "twice"): (
        "reset late",
        "{agent} resets its memory {name} one step late, at the second frame of an episode, too: its first frame is "
        f"forgotten. {RESET}",
    ),
    (faults.INVERTED, ""): (
        "wrong reset",
        "{agent} keeps its memory {name} where an episode begins, and drops it at all other steps: the mask of its "
        f"reset is inverted, or that of another step. {RESET}",
    ),
    (faults.SHORT, ""): (
        "wrong reset",
        f"{{agent}} drops its memory {{name}} within episodes, not only where they begin. {RESET}",
    ),
    (faults.TOGETHER, ""): (
        "wrong reset",
        "{agent} resets its memory {name} in all environments where one of them begins an episode: they end at "
        f"different steps. {RESET} (torch.where(begins.unsqueeze(-1), zeros, state).)",
    ),
    (faults.FORGETS, ""): (
        "state at t",
        "{agent} has a memory {name}, but nothing that it writes depends on what {name} was at earlier steps: it "
        f"remembers nothing. {RESET}",
    ),
    (faults.FORGETS, "present"): (
        "state at t",
        "{agent} reads its memory {name} at t, where it has just been written, and nothing that it writes depends on "
        f"what {{name}} was at earlier steps: it remembers nothing. {RESET}",
    ),
    (faults.MIXES, ""): (
        "neighbours",
        "{agent} mixes environments in its memory {name}: what one of them was like changes what is written for "
        "another. Row b of a state belongs to row b of what is observed: look at what the network takes for time and "
        "what for the batch (batch_first of torch.nn.GRU, for instance), and at the order of rows.",
    ),
    (faults.STORED, ""): (
        "memory",
        "{agent} writes another {name} when it runs again on what is stored, from a step 0 on at which an episode goes "
        "on: learning sees another memory than acting had. It reads a stored state of its own step, or at t = 0 the "
        "last one (step -1 counts from the end). Read it at t - 1; at t = 0 read {before}, or begin with zeros.",
    ),
    (faults.WHOLE, "reset"): (
        "memory",
        "{agent} goes on with its memory {name} over the ends of episodes when it runs over all steps at once "
        "(t=None), though step by step it does not: what is learned is another memory than that which acts. Begin "
        "with zeros wherever 'env/timestep' is 0, in each environment by itself.",
    ),
    (faults.WHOLE, ""): (
        "memory",
        "{agent} writes another {name} when it runs over all steps at once (t=None) than step by step. It begins with "
        "{before}, the state before step 0; the one that is stored at step 0 has seen the observation of step 0.",
    ),
    (faults.UNREAD, ""): (
        "memory",
        "{agent} names {name} as a state variable, but does not go on from {before} at step 0, where collectors and "
        "replay buffers put what it was before: it forgets where a piece of time begins. Read that at 0 where the "
        "workspace has it, and put zeros in its place where 'env/timestep' is 0.",
    ),
    (faults.HIDDEN, ""): (
        "hidden memory",
        "{agent} remembers in {attributes} what it has seen, outside of the workspace: on equal workspaces it acts "
        "differently, evaluation and training share one memory, learning cannot run it again, and checkpoints do not "
        "have it. Write it to a variable at t, read that at t - 1, and name it in state_variables.",
    ),
}


def resets_that_count(traced: Trace) -> Iterator[Problem]:
    """Yield losses over sequences in which pairs of frames count that only carry a reset."""
    # Rewards that are summed over neighbouring rows get to others' resets, and are told as such.
    for name in traced.counts_resets if not traced.crossings else ():
        yield Problem(
            "no mask",
            f"the loss of {name!r} learns from pairs of frames that only carry a reset: its gradient depends on the "
            "reward at the first frame of an episode, where windows go over the end of the one before. The pair of t "
            "and t+1 is no transition where 'env/done' is true at t: multiply what belongs to it by ~done, divide by "
            "the number of the others, and cut returns there (n_step_transitions and gae do so).",
            False,
        )


def unread_states(traced: Trace) -> Iterator[Problem]:
    """Yield states that are stored and of which memories that run again in an update know nothing."""
    accesses = [one for one in traced.recorder.accesses if one.call.part.startswith("update") and not one.call.prepares]
    read = {one.variable for one in accesses if not one.writes}
    writers = {one.variable: one.call for one in accesses if one.writes and not one.call.is_function}
    for name in traced.batch:
        state = name.removesuffix(BEFORE)
        writer = next((call for written, call in writers.items() if written.endswith(state)), None)
        if state != name and name not in read and writer is not None:
            yield Problem(
                "memory",
                f"{writer} runs again on windows without what its state was before them: {name!r} is stored, and "
                f"nobody reads it. Windows begin in the middle of episodes: read {name!r} at 0 where the workspace has "
                "it, or do not store it and let a longer burn-in take its place.",
                False,
            )


def memory_mistakes(traced: Trace) -> Iterator[Problem]:
    """Yield what is wrong with the memories of agents that act."""
    for fault in dict.fromkeys(traced.memories):
        if fault.kind == faults.HIDDEN and fault.agent in traced.gathers:
            continue  # running statistics are told as such
        kind, text = _WORDS[fault.kind, fault.detail]
        said = text.format(
            agent=fault.agent,
            name=" and ".join(map(repr, fault.variables)),
            before=" and ".join(repr(before(one)) for one in fault.variables),
            attributes=" and ".join(repr(f"self.{one}") for one in fault.variables),
        )
        yield Problem(kind, said, False)
