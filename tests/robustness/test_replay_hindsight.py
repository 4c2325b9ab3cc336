"""Goals by hindsight against one endless list of frames for each environment of each source."""

import json

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.robustness.fuzzing import examples
from tests.robustness.replay_model import Environments, to_workspace
from tests.robustness.test_replay_sources import APART, programs
from workspace_rl import ReplayBuffer
from workspace_rl.experience.hindsight import STRATEGIES, Hindsight

VARIABLES = ["number", "env/reward", "env/terminated", "env/env_obs/achieved_goal", "env/env_obs/desired_goal"]
NONE = -1


class Differences:
    """A reward that tells both of its goals; every third one terminates."""

    def rewards(self, achieved, desired):
        assert achieved.shape == desired.shape and achieved.shape[1:] == (1,)
        return (achieved - desired)[:, 0].astype(float)

    def terminated(self, achieved, desired):
        return (achieved - desired)[:, 0] % 3 == 0


class Truth:
    """All frames of each environment, in order, and where their episodes end."""

    def __init__(self):
        self.episodes = {}  # number -> the list of all numbers of its episode
        self.running = {}  # (source, environment) -> the list of the one that runs

    def put(self, source, rows):
        for row in rows:
            for environment, frame in enumerate(row):
                episode = self.running.setdefault((source, environment), [])
                episode.append(frame.number)
                self.episodes[frame.number] = episode
                if frame.done:
                    del self.running[source, environment]

    def cut(self, keep=lambda source: False):
        self.running = {key: one for key, one in self.running.items() if keep(key[0])}


def made(program, strategy):
    sources = {"n_sources": program["n_sources"], "n_steps": program["n_steps"]} if program["announced"] else {}
    return ReplayBuffer(
        program["capacity"],
        VARIABLES,
        longest_window=program["longest_window"],
        hindsight=Hindsight(Differences(), strategy=strategy, n_goals=9),
        **sources,
    )


def restored(buffer, program, strategy):
    twin, rows = made(program, strategy), buffer.rows
    middle = (rows.start + rows.stop) // 2
    pieces = [(a, buffer.read_rows(a, b)) for a, b in ((rows.start, middle), (middle, rows.stop)) if a < b]
    twin.restore(json.loads(json.dumps(buffer.describe())), pieces)
    return twin


def frames_of(rows, batch_size):
    frames = to_workspace(rows, batch_size, 0)
    frames.set_full("env/env_obs/achieved_goal", frames["number"].unsqueeze(-1))
    frames.set_full("env/env_obs/desired_goal", torch.full_like(frames["number"], NONE).unsqueeze(-1))
    return frames


def check(buffer, truth, by_number, strategy, length):
    """Look at samples: each goal is one of those that there are, and of few of them all are drawn."""
    if not buffer.n_windows(length):
        return
    stored = {n for row in buffer.rows for n in buffer.read_rows(row, row + 1)["number"].flatten().tolist()}
    batch, drawn = buffer.sample(1500, length), {}
    assert all(batch[name].is_contiguous() for name in batch)
    if length == 1:
        assert (batch["env/env_obs/desired_goal"] == NONE).all()
        return
    goals = batch["env/env_obs/desired_goal"].squeeze(-1)
    assert (goals == goals[0]).all()
    for k, (numbers, goal) in enumerate(zip(batch["number"].T.tolist(), goals[0].tolist(), strict=True)):
        frames = [by_number[number] for number in numbers]
        rewards, ends = batch["env/reward"][1:, k].tolist(), batch["env/terminated"][1:, k].tolist()
        if goal == NONE:
            assert rewards == [frame.reward for frame in frames[1:]]
            assert ends == [frame.terminated for frame in frames[1:]]
            continue
        assert rewards == [number - goal for number in numbers[1:]]
        assert ends == [(number - goal) % 3 == 0 for number in numbers[1:]]
        done = batch["env/done"][:, k].tolist()
        assert all(done[t] for t in range(1, length) if ends[t - 1] or frames[t].done)
        drawn.setdefault(numbers[0], set()).add(goal)
    for number, found in drawn.items():
        episode = truth.episodes[number]
        later = episode[episode.index(number) + 1 :]
        whole = [one for one in episode if one in stored]
        expected = {"future": later, "final": later[-1:], "episode": whole}[strategy]
        assert found <= {*expected} and {*expected} <= stored and expected
        if len(drawn) * len(expected) <= 60:
            assert found == {*expected}


@examples(quick=150, full=10_000)
@given(programs(), st.sampled_from(STRATEGIES))
def test_goals_are_what_frames_of_the_same_episode_have_achieved(program, strategy):
    torch.manual_seed(0)
    batch_size = program["batch_size"]
    sources = [Environments(batch_size, 0, False, APART * k) for k in range(program["n_sources"])]
    buffer, truth, by_number, current = made(program, strategy), Truth(), {}, None
    for command, *arguments in [*program["commands"], ("sample", 2), ("sample", program["longest_window"])]:
        if command == "put":
            current, endings, how = arguments
            rows = sources[current].rows(endings)
            if how != "goes on":
                truth.cut(lambda source, cut=current: source != cut)
            truth.put(current, rows)
            by_number |= {frame.number: frame for row in rows for frame in row}
            buffer.put(frames_of(rows, batch_size), continues=how == "goes on", source=current)
        elif command == "sample":
            check(buffer, truth, by_number, strategy, *arguments)
        elif command == "end":
            buffer.end_episodes(*arguments)
            truth.cut(lambda source, cut=arguments[0]: cut is not None and source != cut)
        else:
            if arguments[0]:
                buffer.end_episodes()
                truth.cut()
            # Other sources than that of the last put do not go on from what is restored.
            truth.cut(lambda source, kept=current: source == kept)
            buffer = restored(buffer, program, strategy)
