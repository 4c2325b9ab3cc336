"""The learner by itself: updates are counted, flagged, watched, and the same as one graph."""

import math

import pytest
import torch

from workspace_rl import Workspace, minimise
from workspace_rl.errors import CompositionError, DivergedError
from workspace_rl.learning.learner import Learner


class Regression:
    """Fits `y` by a line; the loss is scaled by what the batch says, which may be NaN."""

    def __init__(self):
        torch.manual_seed(1)
        self.net = torch.nn.Linear(2, 1)
        self.optimizer = torch.optim.Adam(self.net.parameters(), 0.05)

    def flags(self, n):
        return {"slowly": n % 2 == 0}

    def update(self, batch, *, slowly=False):
        loss = ((self.net(batch["x"][0]) - batch["y"][0]) * batch["scale"][0]).square().mean()
        minimise(0.1 * loss if slowly else loss, self.optimizer)
        return {"loss": loss.detach()}

    def learner(self, **options):
        return Learner(
            self.update,
            flags=self.flags,
            modules=lambda: {"net": self.net},
            optimizers=[self.optimizer],
            device=torch.device("cpu"),
            **{"compiled": False} | options,
        )


def batch(scale=1.0, seed=0):
    torch.manual_seed(seed)
    workspace, x = Workspace(), torch.randn(1, 8, 2)
    workspace.set_full("x", x)
    workspace.set_full("y", x.sum(-1, keepdim=True))
    workspace.set_full("scale", torch.full((1, 8, 1), scale))
    return workspace


def test_updates_are_counted_from_one_and_get_their_flags():
    one, seen = Regression(), []
    one.flags = lambda n: seen.append(n) or {"slowly": n % 2 == 0}
    learner = one.learner()
    losses = [learner.learn(batch(seed=n))["loss"] for n in range(60)]
    assert learner.n_updates == 60 and seen == [*range(1, 61)]
    assert losses[-1] < 0.3 * losses[0]
    learner.check()


def test_a_run_that_goes_on_counts_on():
    one, given = Regression(), []
    one.update = lambda batch, **flags: given.append(flags) or {}
    learner = one.learner(n_updates=3)
    learner.learn(batch())
    assert learner.n_updates == 4 and given == [{"slowly": True}]


def test_metrics_are_those_of_the_update_alone():
    assert set(Regression().learner().learn(batch())) == {"loss"}


@pytest.mark.parametrize("scale", [math.nan, math.inf, 1e30])
def test_an_update_that_goes_wrong_is_told_at_once_on_a_cpu_with_its_batch(scale):
    learner = Regression().learner()
    learner.learn(batch())
    bad = batch(scale)
    with pytest.raises(DivergedError, match=r"update 2 gave numbers that are not finite, .*loss") as told:
        learner.learn(bad)
    assert told.value.update == 2 and told.value.batch is bad


@pytest.mark.parametrize("scale", [math.nan, 1e30])
def test_where_a_device_is_not_waited_for_it_is_told_when_somebody_looks(scale):
    one = Regression()
    learner = one.learner()
    learner.watch_from(1, batch())
    for value in (1.0, 1.0, scale, 1.0):
        learner.learn(batch(value))
    for look in (learner.check_updates, learner.check):
        with pytest.raises(DivergedError, match="update 3 gave numbers that are not finite") as told:
            look()
    assert told.value.update == 3 and torch.equal(
        told.value.batch["scale"].nan_to_num(), batch(scale)["scale"].nan_to_num()
    )


def test_weights_are_looked_at_when_somebody_checks():
    one = Regression()
    learner = one.learner()
    learner.learn(batch())
    learner.check()
    with torch.no_grad():
        one.net.bias.fill_(math.nan)
    learner.check_updates()
    with pytest.raises(DivergedError, match="after update 1, weights are not finite: .*net"):
        learner.check()


def test_what_is_no_metric_is_told():
    one = Regression()
    one.update = lambda batch, **flags: {"loss": 1.0}
    with pytest.raises(CompositionError, match="update returns float as 'loss'"):
        one.learner().learn(batch())


def test_one_graph_does_the_same():
    eager, compiled = Regression(), Regression()
    learners = eager.learner(), compiled.learner(compiled=True)
    for n in range(3):
        losses = [one.learn(batch(seed=n))["loss"] for one in learners]
        torch.testing.assert_close(losses[0], losses[1])
    assert learners[1].compiled is not None and learners[0].compiled is None
    torch.testing.assert_close(eager.net.weight, compiled.net.weight)
    with pytest.raises(DivergedError, match="update 4"):
        learners[1].learn(batch(math.nan))


def test_coarse_products_are_coarse():
    fine, coarse = Regression(), Regression()
    losses = [one.learn(batch())["loss"] for one in (fine.learner(), coarse.learner(precision="bf16"))]
    assert not torch.equal(*losses) and torch.allclose(*losses, rtol=0.05)
    assert all(one.dtype == torch.float32 for one in coarse.net.parameters())
