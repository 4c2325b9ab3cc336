"""The loop by itself: what it asks of its parts, and in which order; the parts are stand-ins that note it."""

from types import SimpleNamespace

import pytest
import torch

from workspace_rl import Workspace
from workspace_rl.errors import DivergedError, EnvironmentFailedError
from workspace_rl.evaluation.evaluation import Evaluation
from workspace_rl.experience import Fragment
from workspace_rl.machine.interrupts import Stopped
from workspace_rl.ranks import Alone
from workspace_rl.training.loop import Loop, Pace
from workspace_rl.training.parts.evaluations import Evaluations
from workspace_rl.training.parts.progress import Due, Progress
from workspace_rl.training.parts.selection import Candidate
from workspace_rl.training.parts.statistics import CollectedStatistics


class Part:
    """Notes every call in a list of events that all parts share, and returns what it was told to."""

    def __init__(self, name, events, **answers):
        self._name, self._events, self._answers = name, events, answers

    def __getattr__(self, name):
        answer = self._answers.get(name)
        if name in self._answers and not callable(answer):
            return answer

        def call(*args, **kwargs):
            self._events.append((f"{self._name}.{name}", *args, *kwargs.values()))
            return answer(*args, **kwargs) if callable(answer) else None

        return call


class Learner(Part):
    n_updates = 0


class Evaluator(Part):
    took_over = False


class Checkpoints(Part):
    @property
    def wanted(self):
        return self._answers["due"]()


def ten_steps(step):
    return [Fragment(Workspace(), n_transitions=10)]


def a_loop(tmp_path, *, total=100, updates=1, learns_from=0, scores=True, checkpoints=True, **others):
    """Return a loop over fragments of ten transitions, and the list of events.

    `others` are when to do what (`log=30`), and what parts do otherwise (`learner={"check": ...}`).
    """
    events, answers, saved = [], others, []
    log, evaluation, checkpoint, policy = (
        others.pop(name, 1000) for name in ("log", "evaluation", "checkpoint", "policy")
    )

    def part(kind, name, **usual):
        return kind(name, events, **usual | answers.get(name, {}))

    learner = part(Learner, "learner")

    def learn(batch):
        events.append(("learn",))
        learner.n_updates += 1
        return answers.get("learn", lambda: {})() or {}

    progress = Progress(Due(log, evaluation, checkpoint, policy))
    run = SimpleNamespace(path=tmp_path, checkpoints=SimpleNamespace(steps=lambda: []))
    evaluator = part(Evaluator, "evaluator", ask=lambda policy: policy, answer=lambda wait: Evaluation([1.0], [1], [1]))
    logs = part(Part, "logs")
    selection = part(
        Part,
        "selection",
        now=lambda: Candidate("policy", progress.steps),
        consider=lambda candidate, _: setattr(progress, "evaluated_at", candidate.step),
    )
    loop = Loop(
        Pace(total, log, evaluation, scores, policy),
        progress,
        collectors=part(Part, "collectors", collect=ten_steps),
        experience=part(
            Part, "experience", ready=lambda steps: steps >= learns_from, batches=lambda: iter([Workspace()] * updates)
        ),
        statistics=part(Part, "statistics") if "statistics" in answers else CollectedStatistics([], Alone()),
        learn=learn,
        learner=learner,
        policy="policy",
        begin_updates=lambda step: events.append(("begin_updates", step)),
        enough=lambda metrics: False,
        schedules=lambda step: {"epsilon": step},
        evaluations=Evaluations(evaluator, selection, logs),
        selection=selection,
        logs=logs,
        checkpoints=Checkpoints(
            "checkpoints",
            events,
            run=run,
            next=lambda: progress.steps + checkpoint,
            due=lambda: checkpoints and progress.steps not in saved,
            save=lambda: saved.append(progress.steps),
        ),
    )
    return loop, events


GOING = SimpleNamespace(requested=False)


def names(events, *but):
    return [one[0] for one in events if one[0] not in but]


def last_names(events):
    return names(events, "selection.now", "logs.release")


def steps_of(events, name):
    """Return at how many steps something happened."""
    n, found = 0, []
    for one in events:
        n += 10 * (one[0] == "experience.put")
        found += [n] * (one[0] == name)
    return found


def test_a_round_collects_keeps_learns_and_hands_the_weights_over(tmp_path):
    loop, events = a_loop(tmp_path, total=10, updates=2, scores=False)
    loop.run(GOING)
    assert names(events)[:10] == [
        "collectors.collect", "experience.put", "logs.fragment", "experience.ready", "begin_updates",
        "experience.batches", "learn", "logs.update", "learn", "logs.update",
    ]  # fmt: skip
    assert events[4] == ("begin_updates", 10)
    assert events[10] == ("collectors.load_policy", "policy", 2) and loop.progress.n_updates == 2
    assert events[0] == ("collectors.collect", 0) and loop.progress.steps == 10


def test_nothing_is_learned_before_the_experience_is_ready(tmp_path):
    loop, events = a_loop(tmp_path, total=50, learns_from=30)
    loop.run(GOING)
    assert [one[1] for one in events if one[0] == "collectors.collect"] == [0, 10, 20, 30, 40]
    assert steps_of(events, "learn") == steps_of(events, "collectors.load_policy") == [30, 40, 50]
    assert [one[1] for one in events if one[0] == "begin_updates"] == [30, 40, 50]


def test_statistics_grow_around_updates_and_reach_the_collectors_also_before_any(tmp_path):
    loop, events = a_loop(tmp_path, total=20, learns_from=20, scores=False, statistics={})
    loop.run(GOING)
    told = [(one[0], one[1]) if one[0] == "statistics.merge" else one[0] for one in events]
    collected = ["collectors.collect", "experience.put", "statistics.put", "logs.fragment"]
    before, after = [("statistics.merge", True), "experience.ready"], [("statistics.merge", False)]
    updates = ["begin_updates", "experience.batches", "learn", "logs.update"]
    rounds = [*collected, *before, *after, "collectors.load_policy", *collected, *before, *updates, *after]
    assert told[: len(rounds) + 1] == [*rounds, "collectors.load_policy"]


@pytest.mark.parametrize("n", [0, 3])
def test_each_fragment_brings_its_batches_and_without_any_there_may_be_some_still(n, tmp_path):
    turns = iter([3, n])
    loop, events = a_loop(tmp_path, total=40, collectors={"collect": lambda step: ten_steps(step) * next(turns, 1)})
    loop.run(GOING)
    puts_and_updates = [one for one in names(events) if one in ("experience.put", "learn")]
    assert puts_and_updates == (["experience.put"] * 3 + ["learn"] * 3) + (
        ["learn", "experience.put", "learn"] if n == 0 else ["experience.put"] * 3 + ["learn"] * 3
    )
    assert names(events).count("collectors.load_policy") == (3 if n == 0 else 2)


def test_logs_scores_and_checkpoints_come_when_they_are_due(tmp_path):
    loop, events = a_loop(tmp_path, total=100, log=30, evaluation=40, checkpoint=50)
    loop.run(GOING)
    assert steps_of(events, "evaluator.ask") == [40, 80, 100]
    assert steps_of(events, "checkpoints.save") == [50, 100]
    # A checkpoint holds no averages that are still being collected: it logs, too, and the next log is due from there.
    assert steps_of(events, "logs.scalars") == [30, 80] and ("logs.scalars", {"epsilon": 80}) in events
    assert steps_of(events, "logs.flush") == [30, 50, 80, 100, 100]
    # New episodes follow on each checkpoint but the last one, acted with the very weights that it holds.
    saved = names(events).index("checkpoints.save")
    assert names(events)[saved + 1 : saved + 4] == ["collectors.renew", "collectors.load_policy", "evaluator.renew"]
    assert steps_of(events, "collectors.renew") == [50, 100]


def test_numbers_are_checked_before_a_policy_is_chosen_or_a_checkpoint_written(tmp_path):
    loop, events = a_loop(tmp_path, total=40, evaluation=20, checkpoint=30)
    loop.run(GOING)
    told = names(events)
    for what, since in (("evaluator.ask", 4), ("checkpoints.save", 2)):
        before = told[: told.index(what)]
        assert "learner.check" in before[-since:]


def test_the_policy_at_the_end_is_scored_once(tmp_path):
    loop, events = a_loop(tmp_path, total=40, evaluation=20)
    loop.run(GOING)
    assert steps_of(events, "evaluator.ask") == [20, 40] and last_names(events)[-3:] == [
        "checkpoints.save",
        "logs.flush",
        "logs.close",
    ]


def test_without_scores_the_last_policy_is_the_best(tmp_path):
    loop, events = a_loop(tmp_path, total=20, scores=False, evaluation=10)
    loop.run(GOING)
    assert "evaluator.ask" not in names(events) and ("selection.keep_best", Candidate("policy", 20), None) in events


def test_no_checkpoint_is_written_that_nobody_wants(tmp_path):
    loop, events = a_loop(tmp_path, total=20, checkpoint=10, checkpoints=False)
    loop.run(GOING)
    assert "checkpoints.save" not in names(events)


def test_a_run_that_goes_on_takes_up_the_experience_and_begins_new_episodes(tmp_path):
    loop, events = a_loop(tmp_path, total=40)
    loop.progress.steps, loop.progress.n_updates = 30, 7
    loop.run(GOING, SimpleNamespace(state={"buffer": "described"}, rows=lambda: "rows"))
    assert events[:4] == [
        ("experience.restore", "described", "rows"), ("collectors.renew", 30, True),
        ("collectors.load_policy", "policy", 7), ("evaluator.renew",),
    ]  # fmt: skip
    assert names(events).count("collectors.collect") == 1


def test_where_scoring_has_closed_the_environments_of_training_new_episodes_begin(tmp_path):
    loop, events = a_loop(tmp_path, total=30, evaluation=20)

    evaluator = loop.evaluations._evaluator
    evaluator._answers |= {
        "ask": lambda policy: setattr(evaluator, "took_over", True) or policy,
        "renew": lambda: setattr(evaluator, "took_over", False),
    }
    loop.run(GOING)
    renewed = names(events).index("collectors.renew")
    assert names(events)[renewed - 1] == "experience.end_episodes" and events[renewed][1] == 20
    assert names(events).count("collectors.renew") == 1  # not once more at the end


def raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize("where", ["collect", "learn", "ask", "answer"])
def test_what_is_stopped_is_left_undone_and_nothing_measured_is_lost(where, tmp_path):
    does = raising(Stopped())
    part = {"collect": "collectors", "ask": "evaluator", "answer": "evaluator"}.get(where)
    if where == "answer":  # which is there only if it is waited for
        does = lambda wait: raising(Stopped())() if wait else None  # noqa: E731
    answers = {where: does} if part is None else {part: {where: does}}
    loop, events = a_loop(tmp_path, total=20, evaluation=10, **answers)
    loop.progress.steps = 5
    loop.run(GOING)
    assert last_names(events)[-3:] == ["logs.flush", "logs.close", "selection.keep_latest"]
    assert events[-1][-1] is None and "checkpoints.save" not in names(events)


def test_a_stop_between_two_rounds_ends_without_a_score(tmp_path):
    loop, events = a_loop(tmp_path, total=100)
    stop = SimpleNamespace(requested=False)
    loop.learn = lambda batch: setattr(stop, "requested", loop.progress.steps >= 30) or {}
    loop.run(stop)
    assert (
        loop.progress.steps == 30 and "evaluator.ask" not in names(events) and "checkpoints.save" not in names(events)
    )


def test_a_bad_update_says_where_it_was_and_nothing_measured_is_lost(tmp_path):
    loop, events = a_loop(tmp_path, learn=raising(DivergedError("update 1 gave NaN.", update=1)))
    with pytest.raises(
        DivergedError, match=r"update 1 gave NaN. There is no checkpoint yet.*lower learning rate"
    ) as told:
        loop.run(GOING)
    assert told.value.where == "step 10" and last_names(events)[-3:-1] == ["logs.flush", "logs.close"]


def test_an_error_that_a_bad_update_led_to_is_told_as_that(tmp_path):
    failure = EnvironmentFailedError("actions are NaN")
    bad = DivergedError("update 3 gave NaN.", update=3)
    for found, expected in ((raising(bad), bad), (None, failure)):
        learner = {"check_updates": found} if found else {}
        loop, events = a_loop(tmp_path, collectors={"collect": raising(failure)}, learner=learner)
        with pytest.raises(type(expected)) as told:
            loop.run(GOING)
        assert told.value is expected and "logs.close" in names(events)
    assert bad.__cause__ is failure


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ZeroDivisionError])
def test_other_errors_pass_and_files_are_closed(error, tmp_path):
    loop, events = a_loop(tmp_path, learn=raising(error), selection={"keep_latest": raising(OSError("disk full"))})
    with pytest.raises((error, OSError)):
        loop.run(GOING)
    assert last_names(events)[-3:] == ["logs.flush", "logs.close", "selection.keep_latest"]


def test_metrics_reach_the_logs(tmp_path):
    loop, events = a_loop(tmp_path, total=10, learn=lambda: {"loss": torch.ones(())})
    loop.run(GOING)
    assert ("logs.update", {"loss": torch.ones(())}) in events
