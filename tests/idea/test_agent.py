import copy

import pytest
import torch
from torch import nn

from workspace_rl import Agent, Agents, CopyTAgent, EpisodesDone, KWAgentWrapper, PrintAgent, TemporalAgent, Workspace
from workspace_rl.composition import StackAgent
from workspace_rl.errors import CompositionError, NoWorkspaceError, UnknownVariableError, VariableMismatchError


class Counter(Agent):
    """Writes t."""

    def forward(self, t, **kwargs):
        self.set(("count", t), torch.tensor([t, 2 * t]))


class Fibonacci(Agent):
    def forward(self, t, **kwargs):
        value = torch.ones(1) if t < 2 else self.get(("x", t - 1)) + self.get(("x", t - 2))
        self.set(("x", t), value)
        self.set(("stop", t), value > 20)


class Reader(Agent):
    def forward(self, t, **kwargs):
        self.get(("cuont", t))


class Options(Agent):
    def forward(self, t, **kwargs):
        self.seen = kwargs


def test_temporal_agent_runs_until_a_variable_is_true():
    workspace = Workspace()
    TemporalAgent(Fibonacci())(workspace, t=0, stop_variable="stop")
    assert workspace["x"].flatten().tolist() == [1, 1, 2, 3, 5, 8, 13, 21]


@pytest.mark.parametrize(("n_steps", "expected"), [(3, 3), (1, 1), (0, 1)])
def test_temporal_agent_runs_at_least_once(n_steps, expected):
    workspace = Workspace()
    TemporalAgent(Counter())(workspace, n_steps=n_steps)
    assert workspace.time_size("count") == expected


def test_temporal_agent_stops_at_whichever_comes_first():
    workspace = Workspace()
    TemporalAgent(Fibonacci())(workspace, t=0, n_steps=3, stop_variable="stop")
    assert workspace.time_size("x") == 3
    with pytest.raises(CompositionError, match="n_steps or stop_variable"):
        TemporalAgent(Counter())(workspace)


def test_keyword_arguments_reach_every_agent():
    first, second = Options(), Options()
    TemporalAgent(Agents(first, Agents(second)))(Workspace(), t=0, n_steps=1, stochastic=False)
    assert first.seen == second.seen == {"stochastic": False}


def test_wrapped_keyword_arguments_win_and_compositions_can_be_wrapped():
    inner = Options()
    KWAgentWrapper(Agents(inner), stochastic=False)(Workspace(), t=0, stochastic=True, other=1)
    assert inner.seen == {"stochastic": False, "other": 1}


def test_an_exception_leaves_no_workspace_behind():
    agents = Agents(Counter(), Reader())
    with pytest.raises(UnknownVariableError):
        agents(Workspace(), t=0)
    assert agents.workspace is None and agents[1].workspace is None
    copy.deepcopy(agents)


def test_errors_name_the_agent_the_variable_and_the_nearest_name():
    agent = TemporalAgent(Agents(Counter(), Reader(name="my reader")))
    with pytest.raises(UnknownVariableError) as caught:
        agent(Workspace(), t=0, n_steps=1)
    message = str(caught.value)
    assert "agent 'my reader' (Reader): step 0 of variable 'cuont'" in message and "Did you mean 'count'?" in message


def test_mismatch_errors_name_the_first_writer():
    class Shrinking(Agent):
        def forward(self, t, **kwargs):
            self.set(("x", t), torch.ones(3 - t))

    with pytest.raises(VariableMismatchError, match=r"agent 'Shrinking'.*'x' changes at step 1.*by Shrinking"):
        TemporalAgent(Shrinking())(Workspace(), t=0, n_steps=2)


def test_an_agent_may_be_called_within_its_own_call():
    class Recursive(Agent):
        def forward(self, t, **kwargs):
            if t == 0:
                self(Workspace(), t=1)
            self.set(("x", 0), torch.ones(1))

    workspace = Workspace()
    Recursive()(workspace, t=0)
    assert "x" in workspace


def test_use_outside_a_call_is_explained():
    with pytest.raises(NoWorkspaceError, match="outside of a call"):
        Counter().forward(0)
    with pytest.raises(NoWorkspaceError, match="was called with NoneType"):
        Counter()(None, t=0)


def test_forward_hooks_run():
    agent, calls = Counter(), []
    agent.register_forward_hook(lambda *args: calls.append(1))
    agent(Workspace(), t=0)
    assert calls == [1]


def test_only_agents_can_be_composed():
    with pytest.raises(CompositionError, match=r"argument 2 of Agents.*Did you forget to create an instance"):
        Agents(Counter(), Reader)
    with pytest.raises(CompositionError, match="argument of TemporalAgent"):
        TemporalAgent(nn.Linear(1, 1))


def test_names_prefixes_and_search():
    counter = Counter(name="a")
    tree = TemporalAgent(Agents(counter, KWAgentWrapper(Reader(name="b")), name="a"))
    assert tree.get_by_name("a") == [counter, tree.agent]
    assert [one.name for one in tree.get_by_name("b")] == ["b"]
    assert counter.set_name("c") is counter and counter.name == "c" and Counter().name == "Counter"
    assert counter.with_prefix("target/") is counter and counter.prefix == "target/"


def test_writers_are_known():
    workspace = Workspace()
    Counter(name="the counter")(workspace, t=0)
    assert workspace.variables["count"].writer == "the counter"
    assert "the counter" in repr(workspace)


def test_copy_agent():
    workspace = Workspace()
    workspace.set("x", 0, torch.ones(1, requires_grad=True))
    CopyTAgent("x", "y", detach=True)(workspace, t=0)
    CopyTAgent("x", "z", detach=True)(workspace)
    assert not workspace.get("y", 0).requires_grad and not workspace["z"].requires_grad


def test_stack_agent_makes_separate_critics_look_like_an_ensemble():
    workspace = Workspace()
    workspace.set("critic-1/q_value", 0, torch.tensor([1.0, 2.0]))
    workspace.set("critic-2/q_value", 0, torch.tensor([3.0, 4.0]))
    StackAgent(["critic-1/q_value", "critic-2/q_value"], "critic/q_values")(workspace, t=0)
    assert workspace.get("critic/q_values", 0).tolist() == [[1, 3], [2, 4]]


def test_print_agent_shows_what_is_there_now(capsys):
    printer, workspace = PrintAgent(), Workspace()
    Counter()(workspace, t=0)
    printer(workspace, t=0)
    other = Workspace()
    other.set("y", 0, torch.ones(1))
    other.set("later", 1, torch.ones(1))
    printer(other, t=0)
    assert capsys.readouterr().out == "count[0] = tensor([0, 0])\ny[0] = tensor([1.])\n"


def test_episodes_done_accumulates_and_starts_anew():
    agent, workspace = EpisodesDone(), Workspace()
    frames = [[True, False], [False, False], [False, True]]
    for t, done in enumerate(frames):
        workspace.set("env/done", t, torch.tensor(done))
        agent(workspace, t=t)
    assert workspace["env/done"].tolist() == [[True, False], [True, False], [True, True]]
    fresh = Workspace()
    fresh.set("env/done", 0, torch.tensor([False, False]))
    agent(fresh, t=0)
    assert fresh["env/done"].tolist() == [[False, False]]


def test_clone_shares_nothing():
    class Net(Agent):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def forward(self, t, **kwargs):
            self.set(("y", t), self.layer(self.get(("x", t))))

    agent = Net()
    twin = agent.clone()
    with torch.no_grad():
        agent.layer.weight.fill_(5)
    assert twin.layer.weight.item() != 5


def test_agents_in_a_chain_are_seeded_differently():
    class Seedable(Agent):
        def seed(self, seed):
            self.got = seed
            return self

    first, second = Seedable(), Seedable()
    TemporalAgent(Agents(first, second)).seed(3)
    assert first.got != second.got
    again = Seedable()
    Agents(again, Seedable()).seed(3)
    assert again.got == first.got
