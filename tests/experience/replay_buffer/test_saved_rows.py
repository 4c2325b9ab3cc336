"""A replay buffer that is saved piece by piece and restored."""

import json

import pytest
import torch

from workspace_rl import ReplayBuffer, Workspace
from workspace_rl.errors import ReplayBufferError


def frames(rng, n_steps, start, stacks):
    workspace = Workspace()
    number = torch.arange(start, start + n_steps).view(-1, 1).expand(-1, 3) * 10 + torch.arange(3)
    workspace.set_full("x", torch.stack([number] * 4, 2)[..., None].float() if stacks else number.float())
    workspace.set_full("done", torch.rand((n_steps, 3), generator=rng) < (0 if stacks else 0.2))
    return workspace


def filled(stacks, pieces):
    """Return a buffer and what was read of it now and then."""
    rng = torch.Generator().manual_seed(1)
    buffer = new(stacks)
    n, saved = 0, []
    for k in range(12):
        size = int(torch.randint(1, 9, (), generator=rng))
        buffer.put(frames(rng, size, n, stacks))
        n += size
        if k % 4 == 3:
            buffer.end_episodes()
            start = max(buffer.rows.start, pieces and n_saved(saved))
            saved.append((start, buffer.read_rows(start, buffer.rows.stop)))
    return buffer, saved


def n_saved(saved):
    return saved[-1][0] + len(saved[-1][1]["x"]) if saved else 0


def new(stacks):
    return ReplayBuffer(60, ["x"], done_variable="done", stacked={"x": 4} if stacks else None)


@pytest.mark.parametrize("stacks", [False, True])
@pytest.mark.parametrize("pieces", [False, True])
def test_it_samples_the_same_and_goes_on_the_same(stacks, pieces):
    buffer, saved = filled(stacks, pieces)
    twin = new(stacks)
    twin.restore(json.loads(json.dumps(buffer.describe())), saved if pieces else saved[-1:])
    rng = torch.Generator().manual_seed(5)
    more = [frames(rng, 5, 1000 + 5 * k, stacks) for k in range(6)]
    for workspace in (None, *more):
        if workspace is not None:
            buffer.put(workspace)
            twin.put(workspace)
        for window in (2, 4):
            assert buffer.n_windows(window) == twin.n_windows(window)
            with torch.random.fork_rng():
                torch.manual_seed(0)
                ours = buffer.sample(50, window)
                torch.manual_seed(0)
                theirs = twin.sample(50, window)
            assert all(ours[name].equal(theirs[name]) for name in ours)


def test_an_empty_one_stays_empty():
    twin = new(False)
    twin.restore(new(False).describe(), [])
    assert len(twin) == 0


@pytest.mark.parametrize("stacks", [False, True])
def test_a_larger_ring_takes_over_what_a_smaller_one_still_holds_and_forgets_later(stacks):
    buffer, saved = filled(stacks, True)
    larger = ReplayBuffer(120, ["x"], done_variable="done", stacked={"x": 4} if stacks else None)
    larger.restore(json.loads(json.dumps(buffer.describe())), saved[-1:] if stacks else saved)
    assert buffer.rows.start > 0 and larger.rows == buffer.rows and len(larger) == len(buffer)
    rng, whole = torch.Generator().manual_seed(5), set()
    for k in range(9):
        workspace = frames(rng, 5, 1000 + 5 * k, stacks)
        buffer.put(workspace)
        larger.put(workspace)
        assert len(larger) > len(buffer)
        drawn = {int(x) for x in larger.sample(3000)["x"][0].view(3000, -1)[:, -1]}
        assert drawn >= {int(x) for x in buffer.sample(3000)["x"][0].view(3000, -1)[:, -1]}
        whole |= drawn
    assert len(larger.rows) == 41 + 3 * stacks and min(drawn) > min(whole)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda saved: [(s + 1, {name: one[1:] for name, one in r.items()}) for s, r in saved[2:]], "do not follow"),
        (lambda saved: [saved[0], *((s + 40, r) for s, r in saved[1:])], "do not follow each other"),
        (lambda saved: saved[:-1], "rows end at"),
        (lambda saved: [(start, {"x": rows["x"]}) for start, rows in saved], "saved rows hold"),
        (lambda saved: [(start, rows | {"x": rows["x"].double()}) for start, rows in saved[:1]], "rows end at"),
        (lambda saved: [saved[0], *((s, r | {"x": r["x"].double()}) for s, r in saved[1:])], "do not fit"),
    ],
)
def test_rows_that_do_not_fit_are_refused(change, message):
    buffer, saved = filled(False, True)
    big = ReplayBuffer(600, ["x"], done_variable="done")
    with pytest.raises(ReplayBufferError, match=message):
        big.restore(buffer.describe(), change(saved))
