"""One variable over time: lines, gaps where episodes end, and what is refused."""

import numpy as np
import pytest
import torch

from workspace_rl import Workspace
from workspace_rl.errors import UnknownVariableError, VariableMismatchError


@pytest.fixture
def workspace():
    ws = Workspace()
    ws["env/reward"] = torch.arange(10.0).view(5, 2)
    ws["env/env_obs"] = torch.arange(30.0).view(5, 2, 3)
    done = torch.zeros(5, 2, dtype=torch.bool)
    done[1:, 1] = True  # an evaluation environment, which stays done
    done[2, 0] = True
    ws["env/done"] = done
    return ws


def drawn(figure):
    """Return the lines and the dots, by turns, as (x, y)."""
    return [(line.get_xdata(), line.get_ydata()) for line in figure.axes[0].get_lines()]


def test_a_line_for_each_element_with_gaps_and_dots_where_episodes_end(workspace):
    lines = drawn(workspace.plot("env/reward"))
    assert len(lines) == 4
    np.testing.assert_array_equal(lines[0][1], [0, 2, 4, np.nan, 6, 8])
    np.testing.assert_array_equal(lines[1], ([2], [4]))
    np.testing.assert_array_equal(lines[3], ([1], [3]))


def test_a_component_and_some_elements(workspace):
    lines = drawn(workspace.plot("env/env_obs", component=2, batch=[1]))
    assert len(lines) == 2
    np.testing.assert_array_equal(lines[0][1], [5, 11, *[np.nan] * 4])  # the last frame again is not drawn


def test_integers_are_steps_and_time_has_whole_ticks(workspace):
    workspace["count"] = torch.arange(10).view(5, 2) // 4
    for name, style in (("count", "steps-mid"), ("env/done", "steps-mid"), ("env/reward", "default")):
        axes = workspace.plot(name, batch=[0]).axes[0]
        assert axes.get_lines()[0].get_drawstyle() == style
        for ticks in [axes.get_xticks()] + [axes.get_yticks()] * (style != "default"):
            np.testing.assert_array_equal(ticks, np.round(ticks))


def test_other_dtypes_and_graphs_can_be_drawn(workspace):
    workspace["half"] = torch.ones(5, 2, dtype=torch.bfloat16, requires_grad=True)
    workspace["flag"] = torch.ones(5, 2, dtype=torch.bool)
    workspace["alone"] = torch.ones(5)
    for name in ("half", "flag", "alone"):
        assert drawn(workspace.plot(name))


def test_what_cannot_be_drawn_is_refused(workspace):
    with pytest.raises(UnknownVariableError, match="'env/rewards'"):
        workspace.plot("env/rewards")
    with pytest.raises(VariableMismatchError, match="component=0"):
        workspace.plot("env/env_obs")
    with pytest.raises(VariableMismatchError, match="there is no 3"):
        workspace.plot("env/env_obs", component=3)
    with pytest.raises(VariableMismatchError, match="2 batch elements"):
        workspace.plot("env/reward", batch=[2])


def test_the_table_previews_values_without_changing_the_workspace():
    workspace = Workspace()
    workspace.set("x", 1, torch.tensor([0.5, 7.0], requires_grad=True), writer="somebody")
    assert "- 0.5" in repr(workspace) and "- 0.5" in workspace._repr_html_() and "somebody" in repr(workspace)
    assert workspace.variables["x"]._full is None
    workspace["long"] = torch.arange(12).view(6, 2)
    assert "0 2 4 6 …" in repr(workspace) and "96 B" in repr(workspace)
