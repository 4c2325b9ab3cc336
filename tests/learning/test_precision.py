import pytest
import torch
from torch import nn

from workspace_rl import Workspace
from workspace_rl.algos import SAC
from workspace_rl.learning.precision import (
    SETTINGS,
    choose_matmul_precision,
    fastest_accurate,
    layer_shapes,
    matmul_precision,
)


@pytest.mark.parametrize(
    "seconds, errors, expected",
    [
        ((1.0, 1.0, 0.5), (2e-7, 2e-7, 3e-7), "medium"),  # another library, as accurate
        ((1.0, 1.0, 0.2), (2e-7, 2e-7, 2e-3), "highest"),  # bfloat16
        ((1.0, 0.4, 0.2), (2e-7, 3e-7, 2e-3), "high"),
        ((1.0, 0.95, 0.95), (2e-7, 2e-7, 2e-7), "highest"),  # hardly faster
        ((1.0, 1.0, 0.5), (2e-7, 2e-7, 6e-7), "medium"),  # another order of summation
        ((1.0, 1.5, 2.0), (2e-7, 1e-7, 1e-7), "highest"),
    ],
)
def test_the_fastest_accurate_setting_is_taken(seconds, errors, expected):
    assert fastest_accurate(*(dict(zip(SETTINGS, one, strict=True)) for one in (seconds, errors))) == expected


def test_a_probe_leaves_everything_as_it_was():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert choose_matmul_precision([(64, 32, 16)], torch.device("cpu")) in SETTINGS
    assert choose_matmul_precision([], torch.device("cpu")) == "highest"
    assert torch.equal(torch.get_rng_state(), state) and torch.get_float32_matmul_precision() == "highest"


def test_a_setting_holds_within_the_block():
    with matmul_precision("medium"):
        assert torch.get_float32_matmul_precision() == "medium"
        with pytest.raises(ZeroDivisionError), matmul_precision("high"):
            raise ZeroDivisionError
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == "highest"


def test_shapes_of_layers():
    body = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    assert layer_shapes([body, nn.Linear(1, 1)], 32) == [(32, 3, 8), (32, 8, 2), (32, 1, 1)]


def test_the_choice_is_kept_in_the_run(tiny_sac, monkeypatch):
    monkeypatch.setattr("workspace_rl.training.building.choose_matmul_precision", lambda shapes, device: "medium")
    seen = []
    sac = SAC(tiny_sac)
    monkeypatch.setattr(sac, "update", lambda batch: seen.append(torch.get_float32_matmul_precision()) or {})
    result = sac.train(progress=False)
    assert set(seen) == {"medium"} and torch.get_float32_matmul_precision() == "highest"
    assert "matmul_precision: medium" in (result.run / "config.yaml").read_text()
    tiny_sac["matmul_precision"] = "highest"
    assert SAC(tiny_sac).config.matmul_precision == "highest"


def test_bf16_keeps_what_must_be_exact(tiny_sac):
    """Products are coarse; losses, log-probabilities, weights and the optimisers' state are float32."""
    results = {}
    for precision in ("float32", "bf16"):
        sac = SAC(tiny_sac | {"precision": precision})
        seen = []
        original = sac.update

        def update(batch, original=original, sac=sac, seen=seen):
            hook = sac.critic.model.first.register_forward_hook(
                lambda module, inputs, output: seen.append(output.dtype)
            )
            metrics = original(batch)
            hook.remove()
            return metrics

        sac.update = update
        torch.manual_seed(0)
        batch = Workspace()
        for name, value in {"env/env_obs": torch.randn(2, 16, 3), "action": torch.rand(2, 16, 1) * 2 - 1}.items():
            batch.set_full(name, value)
        batch.set_full("env/reward", torch.randn(2, 16))
        batch.set_full("env/terminated", torch.zeros(2, 16, dtype=torch.bool))
        metrics = [sac.learn(batch) for _ in range(3)][-1]
        assert set(seen) == {torch.bfloat16 if precision == "bf16" else torch.float32}
        assert {value.dtype for value in metrics.values()} == {torch.float32}
        tensors = [*sac.actor.parameters(), *sac.critic.parameters()]
        tensors += [one for state in sac.actor_optimizer.state.values() for one in state.values()]
        assert {one.dtype for one in tensors} == {torch.float32}

        results[precision] = metrics["loss/critic"]
    torch.testing.assert_close(results["bf16"], results["float32"], rtol=0.05, atol=0.01)
    assert not torch.equal(results["bf16"], results["float32"])
