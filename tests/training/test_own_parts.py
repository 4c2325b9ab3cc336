"""Parts of the loop that are replaced by the user's own: without a subclass of the loop, and resumed bit for bit."""

import copy

import pytest
import torch

from tests.robustness.killed_runs import differences
from workspace_rl import GymAgent, check
from workspace_rl.algos import SAC
from workspace_rl.errors import CompositionError, RunFolderError
from workspace_rl.experience import Collector, Experience, ExperienceWrapper, Fragment


class Combined(ExperienceWrapper):
    """Each batch holds the newest transition of each environment, too (Zhang and Sutton 2017)."""

    def batches(self):
        buffer = self.inner.buffer
        for batch in self.inner.batches():
            newest = buffer.read_rows(buffer.rows.stop - self.window, buffer.rows.stop)
            goes_on = ~newest["env/done"][0]  # elsewhere its first frame ends an episode
            for name in list(batch):
                values = batch[name].clone()
                values[:, : len(goes_on)][:, goes_on] = newest[name][:, goes_on]
                batch.set_full(name, values)
            yield batch


class EveryOther(ExperienceWrapper):
    """Keeps every other fragment."""

    n_put = 0

    def put(self, fragment):
        self.n_put += 1
        if self.n_put % 2:
            super().put(fragment)
        else:
            self.end_episodes()  # the next one does not follow the last one that was kept

    def describe(self):
        return super().describe() | {"n_put": self.n_put}

    def restore(self, description, pieces):
        super().restore(description, pieces)
        self.n_put = description["n_put"]


class SideBySide:
    """Collects with several collectors, each with environments of its own."""

    def __init__(self, *collectors):
        self.collectors = collectors

    def collect(self, n_steps, *, step, random):
        return Fragment.side_by_side([one.collect(n_steps, step=step, random=random) for one in self.collectors])

    def load_policy(self, learner_policy, version):
        for one in self.collectors:
            one.load_policy(learner_policy, version)

    def renew(self, n_transitions):
        for one in self.collectors:
            one.renew(n_transitions)

    def close(self):
        for one in self.collectors:
            one.close()


class Counting:
    """Goes around another collector, and counts its fragments."""

    def __init__(self, inner):
        self.inner, self.n_fragments = inner, 0
        self.load_policy, self.renew, self.close = inner.load_policy, inner.renew, inner.close

    def collect(self, n_steps, *, step, random):
        self.n_fragments += 1
        return self.inner.collect(n_steps, step=step, random=random)


class CombinedSAC(SAC):
    def make_experience(self):
        return Combined(super().make_experience())


class EveryOtherSAC(SAC):
    def make_experience(self):
        return EveryOther(super().make_experience())


class TwoGravitiesSAC(SAC):
    """Learns on two planets at once; the lighter one's environments are made here."""

    def make_collector(self):
        light = GymAgent("Pendulum-v1", n_envs=1, auto_reset=True, seed=self.parameters.seed, env_args={"g": 2.0})
        return SideBySide(super().make_collector(), Collector(light, self.policy, self.random_policy, seed=77))


class CountingSAC(SAC):
    def make_collector(self):
        self.counting = Counting(super().make_collector())
        return self.counting


class Interrupted(Exception):
    pass


def stop_at(algorithm, n_updates):
    """Train, and stop in the midst of an update, as a crash would."""
    learn = algorithm.learn

    def stopping(batch):
        if algorithm.n_updates == n_updates:
            raise Interrupted
        return learn(batch)

    algorithm.learn = stopping
    with pytest.raises(Interrupted):
        algorithm.train(progress=False)


@pytest.fixture
def config(tiny_sac):
    tiny_sac["algorithm"] |= {
        "total_steps": 240, "learning_starts": 40, "random_steps": 20, "eval_interval": 120, "checkpoint_interval": 90,
        "nb_evals": 1, "final_episodes": 0,
    }  # fmt: skip
    tiny_sac["gym_env"]["max_episode_steps"] = 15
    return tiny_sac


def resumed(algorithm, config, folder):
    """Return the folders of two runs, one of which was stopped and resumed."""
    algorithm(copy.deepcopy(config) | {"base_dir": str(folder / "whole")}).train(progress=False)
    stop_at(algorithm(config), 12)
    algorithm.restore(folder / "run").train(progress=False)
    return folder / "run", folder / "whole"


@pytest.mark.parametrize("algorithm", [CombinedSAC, EveryOtherSAC, TwoGravitiesSAC, CountingSAC])
def test_a_run_with_a_part_of_the_users_own_is_resumed_bit_for_bit(algorithm, config, tmp_path):
    assert differences(*resumed(algorithm, config, tmp_path)) == []


@pytest.mark.parametrize("algorithm", [CombinedSAC, TwoGravitiesSAC])
def test_so_is_a_compiled_one(algorithm, config, tmp_path):
    config["compile"] = True
    assert differences(*resumed(algorithm, config, tmp_path)) == []


def test_a_collector_around_another_one_changes_nothing(config, tmp_path):
    counting = CountingSAC(copy.deepcopy(config) | {"base_dir": str(tmp_path / "counting")})
    counting.train(progress=False)
    plain = SAC(config)
    plain.train(progress=False)
    assert counting.counting.n_fragments > 20
    assert all(torch.equal(a, b) for a, b in zip(counting.actor.parameters(), plain.actor.parameters(), strict=True))


def test_what_parts_draw_when_they_are_made_is_the_runs_own(config):
    drawn = []

    class Drawing(SAC):
        def make_collector(self):
            drawn.append(torch.rand(3).tolist())
            return super().make_collector()

    for n in range(2):
        torch.manual_seed(n)
        before, algorithm = torch.get_rng_state(), Drawing(config)
        _, collector = algorithm.make_parts()
        collector.close()
        assert torch.equal(torch.get_rng_state(), before)
    assert drawn[0] == drawn[1]


class Weighing(ExperienceWrapper):
    """Adds a weight to each window."""

    def __init__(self, inner):
        super().__init__(inner)
        self.added = {"weight": ((), torch.float32)}

    def batches(self):
        for batch in self.inner.batches():
            batch.set_full("weight", torch.full_like(batch["env/reward"], 0.5))
            yield batch


def test_what_an_own_experience_adds_to_its_batches_is_known_to_checks(config):
    class Weighed(SAC):
        def make_experience(self):
            return Weighing(super().make_experience())

        def update(self, batch):
            batch.set_full("env/reward", batch["weight"] * batch["env/reward"])
            return super().update(batch)

    assert not check(Weighed(config), strict=True)
    Weighed(config).train(progress=False)


def test_what_it_adds_without_naming_it_is_told_where_to_name(config):
    class Secretive(Weighing):
        def __init__(self, inner):
            super().__init__(inner)
            self.added = {}

    class Weighed(SAC):
        def make_experience(self):
            return Secretive(super().make_experience())

        def update(self, batch):
            batch.set_full("env/reward", batch["weight"] * batch["env/reward"])
            return super().update(batch)

    with pytest.raises(CompositionError, match="'weight', which nobody writes.* If Secretive adds it .* `added`"):
        Weighed(config).train(progress=False)


def test_batches_of_an_own_experience_are_learned_from(config):
    sac = CombinedSAC(config)
    learn, make_experience, made, seen = sac.learn, sac.make_experience, [], []

    def learning(batch):
        buffer = made[0].inner.buffer
        newest = buffer.read_rows(buffer.rows.stop - 2, buffer.rows.stop)
        goes_on = ~newest["env/done"][0]
        seen.append(torch.equal(batch["env/env_obs"][:, :2][:, goes_on], newest["env/env_obs"][:, goes_on]))
        return learn(batch)

    sac.learn, sac.make_experience = learning, lambda: made.append(make_experience()) or made[-1]
    sac.train(progress=False)
    assert len(seen) > 10 and all(seen)


def test_environments_of_an_own_collector_are_closed_whatever_happens(config):
    closed = []

    class Closing(SideBySide):
        def close(self):
            super().close()
            closed.append(self)

    algorithm = making("make_collector", lambda self: Closing(SAC.make_collector(self)))
    algorithm(config).train(progress=False)
    assert len(closed) == 1
    with pytest.raises(RunFolderError):  # it is there
        algorithm(config).train(progress=False)
    assert len(closed) == 2


class Deaf(SideBySide):
    renew = None


class Narrow(SideBySide):
    def collect(self, n_steps):
        return Fragment()


class NoFragments(SideBySide):
    def collect(self, n_steps, *, step, random):
        return self.collectors[0].collect(n_steps).subtime(0)


class Nothing(Experience):
    variables, window = (), 2

    def put(self, fragment):
        pass


class Endless(Nothing):
    window = None

    def batches(self):
        yield from ()


def making(method, part):
    return type("Mine", (SAC,), {method: part})


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (making("make_experience", lambda self: None), "Mine.make_experience returns nothing; an object of"),
        (making("make_experience", lambda self: Endless), "returns the class Endless, not an object of it"),
        (making("make_experience", lambda self: Nothing()), "Nothing does not implement batches: an experience takes"),
        (making("make_experience", lambda self: Endless()), "Endless, which lacks window: it is the number of steps"),
        (making("make_collector", lambda self: None), "Mine.make_collector returns nothing; a collector"),
        (making("make_collector", lambda self: SAC.make_experience(self)), r"Replay, which lacks collect\(n_steps"),
        (making("make_collector", lambda self: Deaf()), r"Deaf, which lacks renew\(n_transitions\): it begins new"),
        (making("make_collector", lambda self: Narrow()), r"Narrow, whose collect\(n_steps\) cannot be called as coll"),
    ],
)  # fmt: skip
def test_what_is_no_part_is_told_before_anything_starts(algorithm, message, config, tmp_path):
    with pytest.raises(CompositionError, match=message):
        algorithm(config).train(progress=False)
    assert not (tmp_path / "run").exists()


def test_so_it_is_by_check(config):
    with pytest.raises(CompositionError, match="Mine.make_experience returns nothing"):
        check(making("make_experience", lambda self: None)(config))


def test_what_is_no_fragment_is_told(config):
    algorithm = making("make_collector", lambda self: NoFragments(SAC.make_collector(self)))
    with pytest.raises(CompositionError, match=r"NoFragments.collect returns a Fragment of which nobody has counted"):
        algorithm(config).train(progress=False)
