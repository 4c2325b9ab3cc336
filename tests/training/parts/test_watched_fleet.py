"""What is measured, shown and told of many collectors."""

import dataclasses
import warnings

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from workspace_rl import Workspace
from workspace_rl.algos import SAC
from workspace_rl.collectors import CollectorsStatus
from workspace_rl.collectors.scaling import ScalingWarning
from workspace_rl.config.collectors_config import CollectorsConfig
from workspace_rl.config.training_config import OffPolicyConfig
from workspace_rl.experience.fragment import Effort, Fragment
from workspace_rl.runs.metrics_file import read_metrics
from workspace_rl.runs.record import RunRecord
from workspace_rl.training.parts import watched_fleet
from workspace_rl.training.parts.progress import Due, Progress
from workspace_rl.training.parts.watched_fleet import WatchedFleet

STEPS = 64


class Clock:
    """Stands for the module `time`: moves when somebody says so."""

    now = used = 0.0

    def perf_counter(self):
        return self.now

    def thread_time(self):
        return self.used


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(watched_fleet, "time", clock)
    return clock


class Fleet:
    """Collectors that take a while, and the learner's thread a part of it."""

    def __init__(self, clock, n, waiting=0.005, used=0.001, collecting=0.04, busy=0.9):
        self.clock, self.n, self.waiting, self.used = clock, n, waiting, used
        self.effort = Effort(collecting, busy * collecting)
        self.state = CollectorsStatus(n=n, alive=n)
        self.calls = []

    def collect(self, step):
        self.clock.now += self.waiting
        self.clock.used += self.used * self.n
        return [Fragment(Workspace(), n_transitions=STEPS, effort=self.effort) for _ in range(self.n)]

    def status(self):
        return self.state

    def load_policy(self, *arguments):
        self.calls.append(arguments)

    def renew(self, n_transitions, *, resumed):
        self.calls.append((n_transitions, resumed))

    def start(self):
        self.calls.append("started")

    def close(self):
        self.calls.append("closed")


def parameters(n_steps=STEPS, updates_per_collect=1.0):
    return OffPolicyConfig(n_envs=1, n_steps=n_steps, updates_per_collect=updates_per_collect, total_steps=10_000)


@pytest.fixture
def watched(clock):
    def make(
        *,
        updates_per_collect=1.0,
        updating=0.01,
        n=2,
        turns=0,
        where="ray",
        lag=1,
        mode="lockstep",
        max_weights_age=None,
        **fleet,
    ):
        progress = Progress(Due(0, 0, 0))
        watched = WatchedFleet(
            Fleet(clock, n, **fleet),
            CollectorsConfig(n=n, where=where, lag=lag, mode=mode, max_weights_age=max_weights_age),
            parameters(updates_per_collect=updates_per_collect),
            progress,
            keep=(kept := []).append,
        )
        watched.kept, watched.told = kept, []
        watched.tell = watched.told.append
        owed = 0.0
        for _ in range(turns):
            fragments = watched.collect(progress.steps)
            progress.steps += sum(one.n_transitions for one in fragments)
            owed += updates_per_collect * len(fragments)
            progress.n_updates += int(owed)
            clock.now += int(owed) * updating
            owed %= 1
        return watched

    return make


@pytest.mark.parametrize("updates_per_collect", [8.0, 1.0, 0.25])
def test_learner_and_collectors_are_measured_by_fragment(watched, updates_per_collect):
    fleet = watched(updates_per_collect=updates_per_collect, turns=100)
    scaling = fleet.measured.scaling
    assert scaling.steps == STEPS and scaling.collecting == pytest.approx(0.04)
    # Ten milliseconds an update, and one for the thread that receives.
    assert scaling.learning == pytest.approx(0.01 * updates_per_collect + 0.001)
    assert fleet.measured.handling == pytest.approx(0.001) and fleet.measured.busy == pytest.approx(0.9)
    assert scaling.overlapping and fleet.told == [fleet.measured.estimate()]


def test_nothing_is_measured_before_learning_begins(watched, clock):
    fleet = watched(turns=100, updates_per_collect=1e-9)
    assert fleet.measured is None and fleet.told == []


def test_a_turn_that_compiles_or_scores_does_not_count(watched, clock):
    fleet = watched(turns=3)
    progress = fleet._progress
    for turn in range(20):
        fleet.collect(progress.steps)
        progress.n_updates += 2
        clock.now += 30.0 if turn in (3, 7) else 0.02
    assert fleet.measured.scaling.learning == pytest.approx(0.011)


def test_collectors_in_the_learners_process_are_no_warning(watched):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fleet = watched(turns=100, n=8, where="process", lag=0)
    assert not fleet.measured.scaling.parallel and fleet.measured.scaling.learning == pytest.approx(0.01)


def test_what_cannot_pay_is_told_once(watched):
    with pytest.warns(ScalingWarning, match="8 collectors are more than the learner can use, about 3.6") as caught:
        watched(turns=300, n=8)
    assert len(caught) == 1


@pytest.mark.parametrize(("where", "told"), [("process", 0), ("local", 1), ("ray", 1)])
def test_short_blocks_that_are_sent_are_told_at_the_start(where, told):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WatchedFleet(None, CollectorsConfig(where=where), parameters(n_steps=4), Progress(Due(0, 0, 0)), keep=list)
    assert len(caught) == told and all("blocks of 4 steps" in str(one.message) for one in caught)


def test_the_speed_of_all_together_and_who_waits_are_those_since_the_last_log(watched, clock):
    fleet = watched(turns=10, collecting=0.004)
    assert fleet.scalars() == pytest.approx({
        "collectors/alive": 2,
        "collectors/restarts": 0,
        "collectors/steps_per_second": 10 * 2 * STEPS / (10 * 0.025),
        "collectors/learner_waits": 0.005 / 0.025,
        "collectors/wait": 1 - 2 * 0.004 / (2 * 0.025),
    })  # fmt: skip
    assert fleet.texts()["waits"] == "learner 20% collectors 84%"  # still those of before
    clock.now += 3.0
    assert fleet.texts()["waits"] == "learner 0% collectors 100%"
    assert fleet.scalars()["collectors/steps_per_second"] == 0


def test_what_a_status_tells_is_shown_and_logged(watched):
    fleet = watched(turns=30, collecting=0.005)
    waits = "learner 20% collectors 80%"
    assert fleet.texts() == {"collectors": "2/2", "restarts": "0", "waits": waits}
    fleet.collectors.state = CollectorsStatus(n=2, alive=1, restarts=3, details={"collectors/discarded": 4})
    assert fleet.texts() == {"collectors": "1/2", "restarts": "3", "waits": waits, "discarded": "4"}
    scalars = fleet.scalars()
    assert scalars["collectors/discarded"] == 4 and scalars["collectors/restarts"] == 3
    assert scalars["collectors/useful"] == pytest.approx(0.005 / 0.011)


@pytest.mark.parametrize(
    ("may_insert", "may_sample", "holds"),
    [(STEPS - 1, 1000, "collectors"), (STEPS, 255, "learner"), (STEPS, 256, "nobody"), (-5, -5, "collectors")],
)
def test_whom_the_limiter_holds_is_shown(watched, may_insert, may_sample, holds):
    fleet = watched()
    details = {"limiter/may_insert": may_insert, "limiter/may_sample": may_sample}
    fleet.collectors.state = CollectorsStatus(n=2, alive=2, details=details)
    assert fleet.texts()["limiter"] == f"holds {holds}"


def test_fragments_that_are_thrown_away_are_told_once(watched):
    fleet = watched(max_weights_age=50, mode="free", lag=0)
    for discarded in (0, 1, 7):
        fleet.collectors.state = CollectorsStatus(n=2, alive=2, details={"collectors/discarded": discarded})
        fleet.scalars()
        assert len(fleet.told) == (discarded > 0)
    assert "collectors.max_weights_age = 50" in fleet.told[0]


def test_what_is_kept_in_the_run(watched):
    fleet = watched(turns=10)
    fleet.collectors.state = dataclasses.replace(fleet.status(), restarts=1, details={"limiter/samples": 7})
    fleet.keep()
    assert fleet.kept == [{
        "from_step": 0, "to_step": 1280, "n": 2, "where": "ray", "mode": "lockstep, lag 1", "restarts": 1,
        "steps_per_second": 5120.0, "limiter/samples": 7.0,
    }]  # fmt: skip


def test_all_else_is_handed_on(watched):
    fleet = watched()
    fleet.start()
    fleet.load_policy("policy", 3)
    fleet.renew(30, resumed=True)
    fleet.close()
    assert fleet.collectors.calls == ["started", ("policy", 3), (30, True), "closed"]


def test_a_run_tells_tensorboard_and_its_folder_but_not_its_measurements_what_depends_on_time(tiny_sac, capsys):
    result = SAC({**tiny_sac, "collectors": {"n": 2}}).train(progress=True)
    assert "collectors: a fragment of 8 steps takes a collector" in capsys.readouterr().out
    tags = EventAccumulator(str(result.run / "tensorboard")).Reload().Tags()["scalars"]
    told = {
        "collectors/alive",
        "collectors/wait",
        "collectors/steps_per_second",
        "collectors/learner_waits",
        "collectors/useful",
    }
    assert told <= set(tags) and not {name for name in read_metrics(result.run) if name.startswith("collectors/")}
    assert "weights_age" in EventAccumulator(str(result.run / "tensorboard")).Reload().Tags()["histograms"]
    assert {"weights_age/mean", "weights_age/max"} <= read_metrics(result.run).keys()
    assert read_metrics(result.run)["weights_age/max"][-1][1] > read_metrics(result.run)["weights_age/mean"][-1][1] > 0
    (stretch,) = RunRecord(result.run).collectors()
    assert (stretch["from_step"], stretch["to_step"], stretch["n"]) == (0, result.steps, 2)
    assert stretch["steps_per_second"] > 0


def test_a_run_without_a_section_knows_nothing_of_it(tiny_sac, capsys):
    result = SAC(tiny_sac).train(progress=True)
    printed = capsys.readouterr()
    assert "collectors" not in printed.out + printed.err and not (result.run / "collectors.json").exists()
    tags = EventAccumulator(str(result.run / "tensorboard")).Reload().Tags()["scalars"]
    assert not [name for name in tags if name.startswith("collectors/")]
