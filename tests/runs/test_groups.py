"""Runs that differ in their seeds alone, together."""

from tests.run_folders import make_run
from workspace_rl.algos.sac import SACConfig
from workspace_rl.runs.groups import group_runs
from workspace_rl.runs.record import open_runs


def labels(*paths):
    groups = group_runs(open_runs(paths))
    return {label: [one.path.name for one in records] for label, records in groups.items()}


def test_seeds_of_one_configuration_are_one_group(tmp_path):
    a = make_run(tmp_path / "a", {}, seed=1, tau=0.1)
    b = make_run(tmp_path / "b", {}, seed=2, tau=0.1)
    assert labels(a, b, a) == {"sac": ["a", "b"]}  # each run once


def test_labels_say_in_what_configurations_differ(tmp_path):
    a = make_run(tmp_path / "a", {}, tau=0.1, batch_size=8)
    b = make_run(tmp_path / "b", {}, tau=0.2, batch_size=8)
    c = make_run(tmp_path / "c", {}, tau=0.2, batch_size=8, extra=[1])
    d = make_run(tmp_path / "d", {}, algo="td3")
    assert labels(a, b, c, d) == {
        "sac, tau=0.1, extra=absent": ["a"],
        "sac, tau=0.2, extra=absent": ["b"],
        "sac, tau=0.2, extra=[1]": ["c"],
        "td3": ["d"],
    }


def test_configurations_that_differ_in_many_options_stay_apart(tmp_path):
    base = dict.fromkeys("uvwxyz", 0)
    paths = [make_run(tmp_path / str(k), {}, **base, **{"q": 1 if k else 0}) for k in range(2)]
    paths += [make_run(tmp_path / f"more{k}", {}, **dict.fromkeys("uvwxyz", 1), q=k) for k in range(3)]
    found = labels(*paths)
    assert len(found) == 5 and all(len(names) == 1 for names in found.values())
    assert any(label.endswith("3 more") for label in found)


def test_the_same_label_in_two_environments_is_one_group(tmp_path):
    a = make_run(tmp_path / "a", {}, env_name="A-v0", tau=0.1)
    b = make_run(tmp_path / "b", {}, env_name="B-v0", tau=0.3)
    assert labels(a, b) == {"sac": ["a", "b"]}


def test_an_option_that_an_older_run_does_not_know_is_as_today(tmp_path):
    today = SACConfig().algorithm.batch_size
    paths = [
        make_run(tmp_path / name, {}, **options) for name, options in [("old", {}), ("new", {"batch_size": today})]
    ]
    other = make_run(tmp_path / "other", {}, batch_size=today + 1)
    assert labels(*paths, other) == {
        f"sac, batch_size={today}": ["old", "new"],
        f"sac, batch_size={today + 1}": ["other"],
    }


def test_where_collectors_live_makes_no_other_group(tmp_path):
    collectors = [{"n": 2}, {"n": 2, "where": "local", "max_restarts": 3}, {"n": 4}, None]
    paths = [make_run(tmp_path / str(k), {}, collectors=one) for k, one in enumerate(collectors)]
    assert sorted(labels(*paths).values()) == [["0", "1"], ["2"], ["3"]]
    assert "sac, collectors.n=4" in labels(*paths[:3])
