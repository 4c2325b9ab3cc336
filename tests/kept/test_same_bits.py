"""The same seeds give the same bits as before: short runs against the record of them, see `same_bits`.

Compiled runs of all algorithms with `make robustness`.
"""

import copy

import pytest
from hypothesis import settings

from tests.kept.fingerprints import differences, rough_differences
from tests.kept.same_bits import COMPILED, EAGER, compare, read_record

TITLES = [*EAGER, *(COMPILED if settings.get_current_profile_name() == "full" else ["dqn, compiled"])]
RECORD = read_record()


@pytest.mark.parametrize("title", TITLES)
def test_a_run_is_what_is_recorded(title, tmp_path):
    if "pictures" in title:
        pytest.importorskip("ale_py")
    told, elsewhere = compare(title, tmp_path / "run", RECORD)
    assert told == []
    if elsewhere:
        pytest.skip(f"compared within rounding, not bit for bit: {'; '.join(elsewhere)}")


def test_every_run_is_recorded_and_differs_from_the_others():
    runs = RECORD["runs"]
    assert runs.keys() == {*EAGER, *COMPILED}
    assert all(differences(runs[a], runs[b]) for a in runs for b in runs if a != b)
    for name in ("sac", "td3", "ddpg", "dqn"):  # compiled or not, they learn the same
        assert rough_differences(runs[f"{name}, eager"], runs[f"{name}, compiled"], 400) == []


@pytest.mark.parametrize(
    ("part", "key", "change", "roughly"),
    [
        ("metrics", 5, lambda line: line[:-1] + "0", False),
        ("metrics", 1, lambda line: line.rpartition(",")[0] + ",1.25", True),
        ("metrics", 1, lambda line: line.replace("loss", "cost"), True),
        ("latest/policy", "wrapped.body.0.weight", lambda text: text[:-1] + "x", False),
        ("checkpoint", "actor.body.0.weight", lambda text: text.replace("[", "[1, "), True),
        ("replay buffer", "action", lambda text: text[:-1] + "x", False),
    ],
)
def test_a_change_is_seen(part, key, change, roughly):
    recorded = RECORD["runs"]["sac, eager"]
    found = copy.deepcopy(recorded)
    assert differences(recorded, found) == rough_differences(recorded, found, 400) == []
    found[part][key] = change(found[part][key])
    assert len(differences(recorded, found)) == 1
    assert bool(rough_differences(recorded, found, 400)) == roughly
