import pytest

from workspace_rl import Workspace
from workspace_rl.collectors import CollectorsStatus, OneCollector
from workspace_rl.errors import CompositionError
from workspace_rl.experience import Fragment


class Recording:
    def __init__(self, result):
        self.result, self.calls = result, []

    def collect(self, n_steps, *, step, random):
        self.calls.append((n_steps, step, random))
        return self.result

    def load_policy(self, learner_policy, version):
        self.calls.append((learner_policy, version))

    def renew(self, n_transitions):
        self.calls.append(n_transitions)

    def close(self):
        self.calls.append("closed")


def test_one_collector_is_told_all_and_acts_at_random_at_first():
    fragment = Fragment(Workspace(), n_transitions=10)
    inner = Recording(fragment)
    one = OneCollector(inner, 5, 20)
    assert [one.collect(step)[0] is fragment for step in (0, 10, 20)] == [True] * 3
    one.load_policy("policy", 3)
    one.renew(30, resumed=False)
    one.close()
    assert inner.calls == [(5, 0, True), (5, 10, True), (5, 20, False), ("policy", 3), 30, "closed"]
    assert one.status() == CollectorsStatus(n=1, alive=1, restarts=0)


@pytest.mark.parametrize("found", [Workspace(), None, Fragment(Workspace(), n_transitions=2).subtime(0)])
def test_what_is_no_fragment_is_told(found):
    with pytest.raises(CompositionError, match="Recording.collect returns a .* nobody has counted the transitions"):
        OneCollector(Recording(found), 5, 0).collect(0)
