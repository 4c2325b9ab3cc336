"""SAC updates on a GPU: this library, stable-baselines3, and one update written by hand.

    python benchmarks/gpu.py [--rounds N]

Networks and replay buffer are on the device. LeanRL is no package; the hand-written update, `torch.compile` and CUDA
graphs on plain tensors as LeanRL has it, stands in for it. Contenders take turns in another order every round, timed on
the clock with the device synchronised before and after. The table goes to `benchmarks/results/gpu.md`.
"""

from __future__ import annotations

import argparse
import copy
import platform
import random
import statistics
import subprocess
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import speed_contenders as contenders
import torch
from speed_contenders import HIDDEN, SIZES, TRANSITIONS, filled_buffer, versions
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "gpu.md"
OURS, EAGER, SB3, BY_HAND = "ours", "ours, eager", "SB3", "by hand, compiled, CUDA graph"
GOALS = [(OURS, SB3, 5.0), (OURS, BY_HAND, 1.0)]


class Twins(nn.Module):
    """Two critics, evaluated together by batched products."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        sizes = [inputs, 256, 256, 1]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.empty(2, m, n).uniform_(-(m**-0.5), m**-0.5)) for m, n in pairwise(sizes)
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(2, 1, n)) for n in sizes[1:])

    def forward(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        hidden = torch.cat((observation, action), -1).expand(2, -1, -1)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            hidden = functional.relu(hidden) if index < 2 else hidden
        return hidden.squeeze(-1)


def by_hand(size: str) -> Callable[[], None]:
    """One update of SAC on plain tensors: losses compiled with CUDA graphs, capturable fused Adam."""
    observations, actions = SIZES[size]["observation"], SIZES[size]["action"]
    widths = [observations, *HIDDEN[size]]
    layers = [layer for m, n in pairwise(widths) for layer in (nn.Linear(m, n), nn.ReLU())]
    actor = nn.Sequential(*layers, nn.Linear(widths[-1], 2 * actions)).cuda()
    critic = Twins(observations + actions).cuda()
    target = copy.deepcopy(critic).requires_grad_(False)
    log_alpha = nn.Parameter(torch.zeros((), device="cuda"))
    adam = partial(torch.optim.Adam, lr=3e-4, fused=True, capturable=True)
    critic_adam, actor_adam, alpha_adam = adam(critic.parameters()), adam(actor.parameters()), adam([log_alpha])

    def act(observation):
        mean, log_std = actor(observation).chunk(2, -1)
        log_std = log_std.clamp(-20, 2)
        noise = torch.randn_like(mean)
        u = mean + log_std.exp() * noise
        slope = 2 * (0.6931472 - u - functional.softplus(-2 * u))
        return torch.tanh(u), (-0.5 * noise**2 - log_std - 0.9189385 - slope).sum(-1)

    @torch.compile
    def critic_loss(observation, action, reward, terminated, following):
        with torch.no_grad():
            next_action, log_prob = act(following)
            next_value = target(following, next_action).amin(0) - log_alpha.exp() * log_prob
            goal = reward + 0.99 * ~terminated * next_value
        return (critic(observation, action) - goal).square().mean(-1).sum()

    @torch.compile
    def actor_loss(observation):
        new_action, log_prob = act(observation)
        # Constant weights: the critics' gradients are not needed here.
        constant = {name: one.detach() for name, one in critic.named_parameters()}
        q_value = torch.func.functional_call(critic, constant, (observation, new_action)).amin(0)
        return (log_alpha.detach().exp() * log_prob - q_value).mean(), log_prob.detach()

    def update(observation, action, reward, terminated, following):
        critic_adam.zero_grad()
        critic_loss(observation, action, reward, terminated, following).backward()
        critic_adam.step()
        actor_adam.zero_grad()
        loss, log_prob = actor_loss(observation)
        loss.backward()
        actor_adam.step()
        alpha_adam.zero_grad()
        (-log_alpha.exp() * (log_prob - actions)).mean().backward()
        alpha_adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(target.parameters()), list(critic.parameters()), 0.005)

    data = [
        torch.randn(TRANSITIONS, observations, device="cuda"),
        torch.rand(TRANSITIONS, actions, device="cuda") * 2 - 1,
        torch.randn(TRANSITIONS, device="cuda"),
        torch.rand(TRANSITIONS, device="cuda") < 0.01,
        torch.randn(TRANSITIONS, observations, device="cuda"),
    ]
    batch = [torch.empty_like(one[:256]) for one in data]

    def sample() -> None:
        index = torch.randint(TRANSITIONS, (256,), device="cuda")
        for to, one in zip(batch, data, strict=True):
            torch.index_select(one, 0, index, out=to)

    # A CUDA graph is recorded on a stream of its own, after a few calls that create the optimisers' states.
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(5):
            sample()
            update(*batch)
    torch.cuda.current_stream().wait_stream(stream)
    for optimizer in (critic_adam, actor_adam, alpha_adam):
        optimizer.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update(*batch)

    def run() -> None:
        sample()
        graph.replay()

    return run


def measure(size: str, rounds: int, calls: int = 200) -> tuple[dict[str, list[float]], str]:
    """Return the updates per second of every round, and the precision that ours has chosen."""
    compiled = contenders.ours_sac(size, True, device="cuda")
    buffer = filled_buffer(compiled.stored_variables, SIZES[size], TRANSITIONS, device="cuda")
    model = contenders.peer_sac("stable_baselines3", size, device="cuda")
    precision = compiled.config.matmul_precision
    eager = contenders.ours_sac(size, False, device="cuda")
    runs: dict[str, Callable[[], object]] = {
        OURS: lambda: compiled.learn(buffer.sample(256)),
        EAGER: lambda: eager.learn(buffer.sample(256)),
        SB3: lambda: model.train(1, 256),
        BY_HAND: by_hand(size),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(-1, rounds):  # the first round warms up
        for name in random.Random(number).sample(list(runs), len(runs)):
            torch.set_float32_matmul_precision(precision if name in (OURS, EAGER, BY_HAND) else "highest")
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(calls):
                runs[name]()
            torch.cuda.synchronize()
            if number >= 0:
                rates[name].append(calls / (time.perf_counter() - start))
    return rates, precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py needs a GPU and a torch built for it; there is none here.")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    git = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    packages = ", ".join(f"{name} {one}" for name, one in versions("torch", "stable-baselines3", "gymnasium").items())
    lines = [
        "# SAC updates on a GPU",
        "",
        "Networks and replay buffer on the device; medians, and the ratios' medians and ranges over the rounds, on the",
        "clock. LeanRL is no package: an update written by hand, compiled and replayed as a CUDA graph, stands for it.",
        "",
        f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, Python {platform.python_version()}, {packages}, "
        f"{rounds} rounds, commit {git.stdout.strip() or 'unknown'}.",
    ]
    for size in ("obs 17, act 6", "obs 4, act 1"):
        rates, precision = measure(size, rounds)

        def ratio(who: str, against: str, rates: dict[str, list[float]] = rates) -> str:
            found = [one / other for one, other in zip(rates[who], rates[against], strict=True)]
            return f"**{statistics.median(found):.2f}** ({min(found):.2f} to {max(found):.2f})"

        lines += ["", f"## {size}, actor {HIDDEN[size]}, critics [256, 256], batch 256; precision {precision!r}", ""]
        lines += [f"| contender | updates/s | x {SB3} |", "|---|---|---|"]
        lines += [f"| {name} | {statistics.median(found):,.0f} | {ratio(name, SB3)} |" for name, found in rates.items()]
        lines += ["", "| goal | reached | must reach |", "|---|---|---|"]
        lines += [f"| {who} / {other} | {ratio(who, other)} | {least:g} x |" for who, other, least in GOALS]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
