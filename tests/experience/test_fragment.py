"""A fragment is a workspace that knows where its frames come from."""

import pytest
import torch

from workspace_rl import Workspace
from workspace_rl.errors import CompositionError
from workspace_rl.experience.fragment import Episodes, Fragment


def frames(n_steps=3, n_envs=2):
    workspace = Workspace()
    workspace["x"] = torch.arange(n_steps * n_envs).reshape(n_steps, n_envs)
    workspace["env/done"] = torch.zeros(n_steps, n_envs, dtype=torch.bool)
    return workspace


def test_it_has_the_frames_and_says_where_they_come_from():
    given, memory = frames(), torch.ones(2, 5)
    fragment = Fragment(given, n_transitions=5, collector=2, number=3, version=4, state={"memory": memory})
    assert fragment["x"].data_ptr() == given["x"].data_ptr() and fragment.time_size() == 3
    assert (fragment.n_transitions, fragment.collector, fragment.number, fragment.version) == (5, 2, 3, 4)
    assert fragment.state == {"memory": memory}


def test_episodes_are_summed_up_once_and_only_if_somebody_asks():
    asked = []

    def episodes():
        asked.append(True)
        return Episodes(torch.tensor([7.0]), torch.tensor([3.0]))

    fragment = Fragment(frames(), episodes=episodes)
    assert not asked
    assert fragment.episodes.returns.tolist() == [7] and fragment.episodes.lengths.tolist() == [3]
    assert len(asked) == 1


def test_nothing_is_known_unless_it_is_said():
    fragment = Fragment(frames())
    assert (fragment.n_transitions, fragment.collector, fragment.number, fragment.version) == (-1, 0, None, 0)
    assert not fragment.begins_anew
    assert len(fragment.episodes.returns) == len(fragment.episodes.lengths) == 0 and fragment.state == {}
    assert not Fragment()


def test_what_is_cut_out_of_it_has_no_origin():
    whole = Fragment(frames(), n_transitions=4, number=3, version=2, begins_anew=True, state={"h": torch.ones(2)})
    part = whole.subtime(1)
    assert part["x"].tolist() == [[2, 3], [4, 5]]
    assert (part.n_transitions, part.number, part.version, part.begins_anew, part.state) == (-1, None, 0, False, {})


def test_fragments_of_several_environments_stand_side_by_side():
    parts = [
        Fragment(
            frames(n_envs=n),
            n_transitions=n,
            number=5,
            version=6,
            begins_anew=n == 2,
            episodes=lambda n=n: Episodes(torch.full((n,), 2.0), torch.full((n,), 3.0)),
            state={"memory": torch.full((n, 1), float(n))},
        )
        for n in (1, 2)
    ]
    both = Fragment.side_by_side(parts)
    assert both["x"].tolist() == [[0, 0, 1], [1, 2, 3], [2, 4, 5]]
    assert (both.n_transitions, both.number, both.version, both.begins_anew) == (3, 5, 6, True)
    assert not Fragment.side_by_side([Fragment(frames()), Fragment(frames())]).begins_anew
    assert both.state["memory"].tolist() == [[1], [2], [2]]
    assert both.episodes.returns.tolist() == [2, 2, 2] and both.episodes.lengths.tolist() == [3, 3, 3]
    with pytest.raises(CompositionError, match="there is none"):
        Fragment.side_by_side([])
