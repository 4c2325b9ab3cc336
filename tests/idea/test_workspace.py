import pytest
import torch

from tests.toys import CountingEnv, SummingAgent
from workspace_rl import Agents, GymAgent, TemporalAgent, Workspace
from workspace_rl.errors import (
    NotATensorError,
    NoWorkspaceError,
    UnknownVariableError,
    UnwrittenStepError,
    VariableMismatchError,
)


def steps(*values):
    workspace = Workspace()
    for t, value in enumerate(values):
        workspace.set("x", t, torch.tensor([float(value)]))
    return workspace


def test_get_returns_the_very_tensor_that_was_set():
    workspace, value = Workspace(), torch.ones(3)
    workspace.set("x", 0, value)
    assert workspace.get("x", 0) is value
    workspace["x"]
    assert workspace.get("x", 0) is value
    assert workspace.get("x", -1) is value


def test_a_full_read_is_a_snapshot():
    workspace = steps(1, 2)
    before = workspace["x"]
    workspace.set("x", 0, torch.tensor([9.0]))
    assert before.tolist() == [[1], [2]]
    assert workspace["x"].tolist() == [[9], [2]]


def test_repeated_full_reads_are_the_same_tensor_until_a_write():
    workspace = steps(1, 2)
    assert workspace["x"] is workspace["x"]
    read = workspace["x"]
    workspace.set("x", 2, torch.tensor([3.0]))
    assert workspace["x"] is not read


def test_a_step_write_after_a_full_write_leaves_the_users_tensor_alone():
    workspace, value = Workspace(), torch.zeros(2, 1)
    workspace.set_full("x", value)
    assert workspace["x"] is value
    workspace.set("x", 1, torch.ones(1))
    assert value.tolist() == [[0], [0]]
    assert workspace["x"].tolist() == [[0], [1]]


def test_gaps_are_errors_at_one_step_and_zeros_in_a_full_read():
    workspace = Workspace()
    workspace.set("action_logprobs", 2, torch.ones(3, dtype=torch.float64))
    assert workspace["action_logprobs"].tolist() == [[0] * 3, [0] * 3, [1] * 3]
    assert workspace["action_logprobs"].dtype == torch.float64
    for t in (0, 1):
        with pytest.raises(UnwrittenStepError, match=f"step {t} of variable 'action_logprobs'.*nobody wrote it"):
            workspace.get("action_logprobs", t)
    with pytest.raises(UnwrittenStepError, match="step 3.*steps 0 to 2 were written"):
        workspace.get("action_logprobs", 3)


def test_unknown_variables_name_the_nearest_one():
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.ones(1))
    with pytest.raises(UnknownVariableError, match="'env/obs'.*Did you mean 'env/env_obs'"):
        workspace["env/obs"]
    with pytest.raises(KeyError):
        workspace.get("nothing", 0)


def test_variables_may_have_different_lengths():
    workspace = steps(1, 2, 3)
    workspace.set("y", 0, torch.zeros(1))
    assert (workspace.time_size("x"), workspace.time_size("y")) == (3, 1)
    with pytest.raises(VariableMismatchError, match="'x': 3, 'y': 1"):
        workspace.time_size()
    assert workspace.batch_size() == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(2), r"shape \[1\] expected, \[2\] found"),
        (torch.ones(1, dtype=torch.int64), "dtype torch.float32 expected, torch.int64 found"),
        (torch.ones(1, device="meta"), "device cpu expected, meta found"),
    ],
)
def test_a_change_of_shape_dtype_or_device_is_an_error(value, message):
    workspace = steps(1)
    with pytest.raises(VariableMismatchError, match=f"'x' changes at step 1: {message}"):
        workspace.set("x", 1, value)
    assert workspace.time_size("x") == 1


def test_a_refused_first_write_leaves_no_variable_behind():
    workspace = Workspace()
    with pytest.raises(UnwrittenStepError):
        workspace.set("x", -1, torch.ones(1))
    assert "x" not in workspace


def test_only_tensors_can_be_written():
    with pytest.raises(NotATensorError, match="'x' must be a tensor, float was given"):
        Workspace().set("x", 0, 1.0)
    with pytest.raises(VariableMismatchError, match="needs a time dimension"):
        Workspace().set_full("x", torch.tensor(1.0))


def test_gradients_flow_through_time_and_survive_overwriting():
    weight = torch.tensor([2.0], requires_grad=True)
    workspace = Workspace()
    workspace.set("x", 0, torch.ones(1))
    for t in (1, 2, 3):
        workspace.set("x", t, workspace.get("x", t - 1) * weight)
    loss = workspace["x"].sum()  # 1 + w + w^2 + w^3
    workspace.set("x", 0, torch.zeros(1))
    loss.backward()
    assert weight.grad.tolist() == [1 + 2 * 2 + 3 * 4]
    workspace.detach()
    assert not workspace["x"].requires_grad


def test_several_variables_are_read_as_a_tuple():
    workspace = steps(1)
    workspace.set("y", 0, torch.zeros(1))
    x, y = workspace["x", "y"]
    assert (x.item(), y.item()) == (1, 0)
    assert isinstance(workspace[["x", "y"]], tuple)


@pytest.mark.parametrize(("n", "expected"), [(1, [3, 2, 3]), (2, [2, 3, 3]), (3, [1, 2, 3])])
def test_copy_n_last_steps_copies_overlapping_steps_right(n, expected):
    workspace = steps(1, 2, 3)
    workspace.set_full("untouched", torch.arange(3).unsqueeze(1))
    workspace.copy_n_last_steps(n, ["x"])
    assert workspace["x"].flatten().tolist() == expected
    assert workspace["untouched"].flatten().tolist() == [0, 1, 2]


def test_subtime_shares_tensors_but_not_writes():
    workspace = steps(1, 2, 3)
    last = workspace.subtime(-1)
    assert last.get("x", 0) is workspace.get("x", 2)
    last.set("x", 0, torch.zeros(1))
    assert workspace["x"].flatten().tolist() == [1, 2, 3]
    assert workspace.subtime(1, 3)["x"].flatten().tolist() == [2, 3]


def test_get_transitions_is_time_major_and_drops_pairs_across_a_reset():
    workspace = Workspace()
    workspace.set_full("x", torch.arange(6).reshape(3, 2))
    workspace.set_full("env/done", torch.tensor([[False, True], [False, False], [True, True]]))
    transitions = workspace.get_transitions()
    assert transitions["x"].tolist() == [[0, 2, 3], [2, 4, 5]]
    assert workspace.get_transitions(no_final_state=True)["x"].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5]]


def test_get_transitions_of_variables_without_a_batch():
    workspace = Workspace()
    workspace.set_full("x", torch.arange(4))
    workspace.set_full("env/done", torch.tensor([False, True, False, False]))
    assert workspace.get_transitions()["x"].tolist() == [[0, 2], [1, 3]]
    assert workspace.get_transitions(no_final_state=True)["x"].tolist() == [[0, 1, 2], [1, 2, 3]]


def test_batch_selection_and_concatenation():
    workspace = Workspace()
    workspace.set_full("x", torch.arange(6).reshape(2, 3))
    assert workspace.select_batch(torch.tensor([2, 0]))["x"].tolist() == [[2, 0], [5, 3]]
    assert workspace.select_batch_n(5)["x"].shape == (2, 5)
    both = Workspace.cat_batch([workspace, workspace])
    assert both["x"].tolist() == [[0, 1, 2, 0, 1, 2], [3, 4, 5, 3, 4, 5]]
    assert workspace.select_subtime(torch.tensor([0, 1, 0]), 1)["x"].tolist() == [[0, 4, 2]]
    with pytest.raises(
        VariableMismatchError, match=r"'x'.* only differ in its batch size, found \[2, 3\] of .*, \[1, 1\] of"
    ):
        Workspace.cat_batch([workspace, steps(1)])
    with pytest.raises(VariableMismatchError, match="workspace 1 lacks variable 'x'"):
        Workspace.cat_batch([workspace, Workspace()])


def test_to_works_for_variables_written_step_by_step():
    moved = steps(1, 2).to("meta")
    assert moved["x"].device.type == "meta"


def test_a_copy_shares_tensors_but_not_writes():
    workspace = steps(1)
    copy = Workspace(workspace)
    copy.set("x", 0, torch.zeros(1))
    assert workspace.get("x", 0).item() == 1


def test_it_shows_itself():
    workspace = steps(1, 2)
    assert "x" in repr(workspace) and "[2, 1]" in repr(workspace) and "float32" in repr(workspace)
    assert "<td style='text-align:left'>[2, 1]</td>" in workspace._repr_html_()
    assert repr(Workspace()) == "Workspace (empty)"


def test_removing():
    workspace = steps(1)
    workspace.remove_variable("x")
    assert "x" not in workspace
    with pytest.raises(UnknownVariableError):
        workspace.clear("x")


def test_what_is_refused_names_the_variable_and_changes_nothing():
    workspace = steps(1, 2, 3)
    workspace.set_full("y", torch.zeros(1, 4))
    with pytest.raises(VariableMismatchError, match="last 2 steps of variable 'y': it has 1"):
        workspace.copy_n_last_steps(2)
    assert workspace["x"].flatten().tolist() == [1, 2, 3]
    with pytest.raises(
        VariableMismatchError, match=r"batch elements \[3\] cannot be selected from variable 'x', \[3, 1\]"
    ):
        workspace.select_batch(torch.tensor([3]))
    with pytest.raises(VariableMismatchError, match="'x'.*one first step for each element"):
        workspace.select_subtime(torch.tensor([0, 0]), 1)
    with pytest.raises(
        UnwrittenStepError, match=r"'x' has 3 steps, too few for windows of 2 steps that begin at \[2\]"
    ):
        workspace.select_subtime(torch.tensor([2]), 2)
    with pytest.raises(UnwrittenStepError, match=r"begin at step 0 or later, not at \[-1\]"):
        workspace.select_subtime(torch.tensor([-1]), 2)
    with pytest.raises(UnwrittenStepError, match="3 steps from step -2 of variable 'x' run over its end") as caught:
        workspace.copy_time(-2, 0, 3, ["x"])
    assert (caught.value.variable, caught.value.step) == ("x", -2)
    with pytest.raises(UnwrittenStepError) as caught:
        workspace.get("x", 7)
    assert (caught.value.variable, caught.value.step) == ("x", 7)


def test_batches_of_different_dtypes_are_not_joined():
    whole = Workspace()
    whole.set_full("x", torch.zeros(1, 1, dtype=torch.int64))
    with pytest.raises(VariableMismatchError, match="float32 on cpu.*int64 on cpu"):
        Workspace.cat_batch([steps(1), whole])


def test_transitions_of_different_batch_sizes_are_refused():
    workspace = Workspace()
    workspace.set_full("x", torch.arange(6).reshape(2, 3))
    workspace.set_full("env/done", torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(VariableMismatchError, match="'x': 3, 'env/done': 2"):
        workspace.get_transitions()


@pytest.mark.parametrize("wrong", [None, 3, [None], ["x"], "x", steps(1)])
def test_what_are_no_workspaces_is_not_joined(wrong):
    with pytest.raises(NoWorkspaceError, match="joins a list of workspaces"):
        Workspace.cat_batch(wrong)


def with_state(n_steps=4):
    """Return steps of two environments: the state is what is seen, summed up; before step 0 it is -1 and -2."""
    workspace = Workspace()
    workspace["x"] = torch.arange(2.0 * n_steps).reshape(n_steps, 2)
    workspace["env/done"] = torch.zeros(n_steps, 2, dtype=torch.bool)
    workspace["sum"] = workspace["x"].cumsum(0) + torch.tensor([-1.0, -2.0])
    workspace.set("sum/before", 0, torch.tensor([-1.0, -2.0]))
    return workspace


def test_what_a_state_was_before_is_no_step():
    workspace = with_state()
    assert workspace.time_size() == 4 and workspace.time_size("sum/before") == 1 and workspace.batch_size() == 2
    workspace["x/before"] = torch.zeros(4, 2)  # a variable like any other
    workspace["y/before"] = torch.zeros(1, 2)
    with pytest.raises(VariableMismatchError, match="'y/before': 1"):
        workspace.time_size()


def follow(piece):
    """Check that the state of a piece of time follows from what it was before the piece."""
    assert torch.equal(piece["sum"][0], piece.get("sum/before", 0) + piece["x"][0])


@pytest.mark.parametrize("start", [0, 1, 3, -2])
def test_where_time_is_cut_the_state_before_is_that_before_the_cut(start):
    workspace = with_state()
    piece = workspace.subtime(start)
    follow(piece)
    assert piece.time_size("sum/before") == 1 and piece.time_size() == len(range(4)[start:])
    follow(piece.subtime(0, 1))
    assert workspace.get("sum/before", 0).tolist() == [-1, -2]
    assert workspace.subtime(4).time_size() == 0


def test_windows_of_each_environment_have_the_state_before_them():
    piece = with_state().select_subtime(torch.tensor([0, 2]), 2)
    assert piece["sum"].shape == (2, 2) and piece["sum/before"].shape == (1, 2)
    follow(piece)


def test_transitions_have_the_state_before_their_first_step():
    workspace = with_state()
    workspace.set("env/done", 1, torch.tensor([True, False]))
    found = workspace.get_transitions()
    assert found["sum"].shape == (2, 5) and found["sum/before"].shape == (1, 5)
    follow(found)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_state_before_the_last_steps_is_copied_with_them(n):
    workspace = with_state()
    workspace.copy_n_last_steps(n)
    follow(workspace)
    other = with_state()
    other.copy_time(-n, 0, n)
    assert torch.equal(other["sum/before"], workspace["sum/before"])
    other.copy_time(0, 2, 1)  # what follows later steps says nothing of the first
    assert torch.equal(other["sum/before"], workspace["sum/before"])


def test_parts_of_the_batch_keep_the_state_before():
    workspace = with_state()
    both = Workspace.cat_batch([workspace.select_batch(torch.tensor([index])) for index in (1, 0)])
    assert both["sum/before"].tolist() == [[-2, -1]]
    follow(both)
    assert workspace.to("cpu")["sum/before"].shape == (1, 2)
    begun = with_state()
    begun.remove_variable("sum/before")
    with pytest.raises(VariableMismatchError, match="workspace 1 lacks variable 'sum/before'"):
        Workspace.cat_batch([workspace, begun])


def test_memory_goes_on_in_a_loop_by_hand():
    env_agent = GymAgent(lambda: CountingEnv(5), n_envs=2)
    agent, whole, workspace, sums = TemporalAgent(Agents(env_agent, SummingAgent())), Workspace(), Workspace(), []
    for piece in range(4):
        if piece:
            workspace.copy_n_last_steps(1)
        agent(workspace, t=min(piece, 1), n_steps=4 if piece else 5)
        sums.append(workspace["sum"][min(piece, 1) :])
    TemporalAgent(Agents(GymAgent(lambda: CountingEnv(5), n_envs=2), SummingAgent()))(whole, t=0, n_steps=17)
    assert torch.equal(torch.cat(sums), whole["sum"])
    assert torch.cat(sums)[:, 0, 0].tolist() == [0, 1, 3, 6, 10, 15] * 2 + [0, 1, 3, 6, 10]
