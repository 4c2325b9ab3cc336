"""Gradients averaged over two ranks, whoever has which."""

import math

import pytest
import torch
from torch import nn

from tests.ranks.processes import on_ranks, values
from workspace_rl import minimise
from workspace_rl.errors import ConfigError
from workspace_rl.machine.interrupts import StopRequest
from workspace_rl.ranks import Alone, ranks_of_this_program
from workspace_rl.ranks.gradients import averaged
from workspace_rl.ranks.weights import differences, digests


def kinds():
    return [
        nn.Parameter(torch.ones(2, 3)),
        nn.Parameter(torch.ones(4, dtype=torch.float64)),
        nn.Parameter(torch.ones(5, dtype=torch.bfloat16)),
        nn.Parameter(torch.ones(2, dtype=torch.complex64)),
        nn.Parameter(torch.ones(3)),
        nn.Parameter(torch.ones(3)),
    ]


def means():
    """Return the means of gradients that are `rank + 1` everywhere; of the last two only one rank has one, or none."""
    ranks = ranks_of_this_program()
    with ranks, ranks.turns(StopRequest()):
        parameters = kinds()
        gradients = [torch.full_like(one, ranks.rank + 1) for one in parameters[:4]]
        found = averaged([*gradients, torch.full((3,), 5.0) if ranks.rank else None, None], parameters)
    assert averaged([None], parameters[:1]) == [None]  # the others have left
    return found


def steps():
    """Return weights after steps: on sparse gradients, and clipped to a norm that only the mean is within."""
    ranks = ranks_of_this_program()
    with ranks, ranks.turns(StopRequest()):
        table = nn.Embedding(5, 2, sparse=True)
        nn.init.ones_(table.weight)
        minimise(table(torch.tensor([ranks.rank, 4])).sum(), torch.optim.SGD(table.parameters(), 1.0))
        weight = nn.Parameter(torch.zeros(2))
        direction = torch.tensor([3.0, 4.0]) if ranks.rank else torch.tensor([-3.0, 4.0])
        norm = minimise(weight @ direction, torch.optim.SGD([weight], 1.0), max_grad_norm=4.0)
    return table.weight.detach(), weight.detach(), norm


def calls():
    """Return how often ranks talk for one step."""
    ranks = ranks_of_this_program()
    layers = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    count, talk = [], torch.distributed.all_reduce
    with ranks, ranks.turns(StopRequest()):
        torch.distributed.all_reduce = lambda *args, **kwargs: (count.append(1), talk(*args, **kwargs))[1]
        minimise(layers(torch.ones(1, 3)).sum(), torch.optim.Adam(layers.parameters()))
        torch.distributed.all_reduce = talk
    return len(count)


def texts():
    """Return what each rank has brought, of different lengths, and what does not end well."""
    ranks = ranks_of_this_program()
    with ranks:
        return ranks.gather({"é" * (3 * ranks.rank): [ranks.rank, None, 0.1, math.inf]}), ranks.gather(ranks.rank)


def every():
    return means(), steps(), calls(), texts()


@pytest.fixture(scope="module")
def both():
    return values(on_ranks(every))


def test_gradients_of_every_kind_are_averaged(both):
    for found, *_ in both:
        for mean, parameter in zip(found[:4], kinds(), strict=False):
            assert mean.dtype == parameter.dtype and torch.equal(mean, torch.full_like(parameter, 1.5))
        assert found[4].tolist() == [2.5] * 3 and found[5] is None


def test_steps_go_down_the_mean_and_are_clipped_after_it(both):
    for _, (table, weight, norm), *_ in both:
        assert table[:, 0].tolist() == [0.5, 0.5, 1, 1, 0]
        assert norm == 4 and torch.allclose(weight, torch.tensor([0.0, -4.0]))


def test_one_message_for_each_step(both):
    assert [n for _, _, n, _ in both] == [1, 1]


def test_plain_data_of_all_is_known_to_all(both):
    for *_, found in both:
        assert found == ([{"": [0, None, 0.1, math.inf]}, {"ééé": [1, None, 0.1, math.inf]}], [0, 1])


def test_alone_nothing_is_averaged():
    gradients = [torch.ones(2), None]
    assert averaged(gradients, kinds()) is gradients


def test_digests_tell_bits_and_shapes():
    weights = {"a": torch.zeros(2), "b": torch.ones(2, 2), "c": torch.ones(())}
    others = {"a": -torch.zeros(2), "b": torch.ones(4), "d": torch.ones(())}
    assert not differences([digests(weights), digests({name: one.clone() for name, one in weights.items()})])
    found = differences([digests(weights), digests(others)])
    assert found == "rank 1 does not hold the weights of rank 0: a, b, c and 1 more differ"


def test_which_rank_this_program_is(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert type(ranks_of_this_program()) is Alone
    monkeypatch.setenv("RANK", "1")
    assert type(ranks_of_this_program()) is Alone
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    ranks = ranks_of_this_program()
    assert (ranks.rank, ranks.size, ranks.first, ranks.joined) == (1, 3, False, False)
    assert ranks.device("cuda") == "cuda:1" and ranks.device("cpu") == "cpu"
    assert ranks.share(12, "n") == 4 and ranks.seed(7) != 7
    with pytest.raises(ConfigError, match=r"batch_size: a multiple of 3 expected.*4 found.*batch_size=6"):
        ranks.share(4, "batch_size")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ConfigError, match="not where the others are.*MASTER_ADDR"):
        ranks.__enter__()
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(ConfigError, match="whole numbers expected"):
        ranks_of_this_program()
