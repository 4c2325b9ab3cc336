"""What of policies cannot be written into files."""

import pytest
from torch import nn

from workspace_rl import Agent, save_policy
from workspace_rl.errors import PolicyFileError
from workspace_rl.policies.saving import check_savable


class Holder(Agent):
    """Is built with anything."""

    def __init__(self, thing):
        super().__init__()


def test_agents_that_cannot_be_written_down_are_named(tmp_path):
    with pytest.raises(PolicyFileError, match="agent 'Holder' cannot be saved: argument 1.*is Linear"):
        save_policy(Holder(nn.Linear(1, 1)), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_dictionaries_with_other_keys_are_refused(tmp_path):
    with pytest.raises(PolicyFileError, match="argument 'thing' of its constructor is dict"):
        save_policy(Holder(thing={0: 1}), tmp_path)


class Counting(Agent):
    """Keeps a number that is no tensor."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def get_extra_state(self):
        return {"n": 1}

    def set_extra_state(self, state):
        pass


def test_state_that_is_no_tensor_is_told_before_anything_starts(tmp_path):
    with pytest.raises(PolicyFileError, match="'_extra_state', of get_extra_state, is a dict.*register_buffer"):
        check_savable(Counting())
    with pytest.raises(PolicyFileError, match="is a dict"):
        save_policy(Counting(), tmp_path / "policy")
