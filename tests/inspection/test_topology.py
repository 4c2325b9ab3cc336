"""Who sends what to whom, and how that is drawn."""

import xml.etree.ElementTree as ElementTree

import pytest

from tests.inspection.pieces import overlaps, texts
from workspace_rl import diagram
from workspace_rl.algos import SAC
from workspace_rl.cli import main
from workspace_rl.inspection.topology import topology, topology_of
from workspace_rl.inspection.topology.topology import written_bytes
from workspace_rl.learning.state.packed_weights import PackedWeights


@pytest.fixture
def drawn(tiny_sac):
    """Draws SAC, with a section `collectors`."""
    built = []

    def draw(**section):
        algorithm = SAC({**tiny_sac, **({"collectors": section} if section else {})})
        built.append(algorithm)
        return algorithm, diagram(algorithm)

    yield draw
    for one in built:
        one.train_env.close()


def flows(picture):
    return {one.what: (one.sender, one.receiver, one.often, one.size) for one in picture.topology.flows}


def test_without_a_section_there_is_nothing_to_tell(drawn):
    _, picture = drawn()
    assert picture.topology is None and topology.TITLE not in str(picture) + picture.svg()


def test_collectors_send_fragments_and_get_weights(drawn):
    algorithm, picture = drawn(n=3, where="local", lag=1)
    assert [one.name for one in picture.topology.parties] == ["3 collectors", "replay buffer", "learner"]
    # 3 + 1 + 1 float32 and 2 bool for each step.
    assert flows(picture) == {
        "fragments": ("3 collectors", "replay buffer", "one of each in every round", "4 x 2 steps, 176 bytes each"),
        "batches": ("replay buffer", "learner", "one for each update", "16 x 2 frames, 704 bytes"),
        "orders with the policy's weights": (
            "learner", "3 collectors", "in every round, one ahead of the learner", "392 bytes each",
        ),
    }  # fmt: skip
    assert 0 <= len(PackedWeights.of(algorithm.policy).data) - 392 < 4 * 16  # its tensors begin at multiples of 16


def test_what_stands_there_is_what_is_sent(drawn):
    """The size of a fragment that a collector really delivers."""
    algorithm, picture = drawn(n=1)
    experience, collectors = algorithm.make_parts()
    collectors.start()
    collectors.collect(0)  # has the frame before its first step, too
    (fragment,) = collectors.collect(8)
    sent = sum(fragment.get_full(name).numpy().nbytes for name in {*experience.variables, "env/done"})
    assert f"{sent} bytes each" in flows(picture)["fragments"][-1]
    collectors.close()


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"n": 2, "where": "process"}, "in the learner's process, one by one"),
        ({"n": 2, "where": "local"}, "each in a process of its own"),
        ({"n": 2, "mode": "free"}, "limiter: 2 samples per insert"),
        ({"n": 2, "mode": "free", "samples_per_insert": 3}, "limiter: 3 samples per insert"),
        ({"n": 2, "mode": "free", "samples_per_insert": 4}, "2 updates for each fragment"),
        ({"n": 2, "mode": "free", "max_weights_age": 50}, "weights at most 50 updates old"),
        ({"n": 2, "mode": "free"}, "as fragments arrive, at most 2 waiting each"),
        ({"n": 1}, "in every round, after the updates"),
    ],
)
def test_the_configuration_is_told(drawn, section, expected):
    _, picture = drawn(**section)
    assert expected in str(picture) and expected in " ".join(texts(picture.svg()))


def test_an_evaluation_worker_gets_policies_and_sends_scores(tiny_sac):
    algorithm = SAC({**tiny_sac, "evaluation_worker": True})
    picture = diagram(algorithm)
    algorithm.train_env.close()
    assert [one.name for one in picture.topology.parties][-1] == "evaluation worker"
    assert flows(picture)["policies"] == ("learner", "evaluation worker", "every 300 steps", "392 bytes")
    assert flows(picture)["scores"][:2] == ("evaluation worker", "learner")
    assert flows(picture)["the policy's weights"][:2] == ("learner", "1 collector")
    assert overlaps(picture.svg()) == [] and float(ElementTree.fromstring(picture.svg()).get("width")) <= 1400


def test_ranks_have_shares_of_the_batch_and_average_gradients(drawn):
    algorithm, _ = drawn(n=2)
    algorithm.ranks = type("Two", (), {"size": 2})()
    topology = topology_of(algorithm, "replay buffer", 22, 2)
    assert [(one.name, one.count) for one in topology.parties] == [
        ("4 collectors", 4), ("2 replay buffers", 2), ("2 learners", 2),
    ]  # fmt: skip
    trained = sum(one.numel() for one in (*algorithm.actor.parameters(), *algorithm.critic.parameters())) + 1
    assert topology.parties[2].details[-1] == f"gradients averaged, {written_bytes(4 * trained)}"
    assert topology.flows[1].size == "8 x 2 frames, 352 bytes"


def test_the_picture_fits_a_page_and_texts_do_not_overlap(drawn):
    for section in ({"n": 8, "where": "local", "mode": "free", "max_weights_age": 100}, {"n": 1}):
        _, picture = drawn(**section)
        assert overlaps(picture.svg()) == []
        assert float(ElementTree.fromstring(picture.svg()).get("width")) <= 1400
        assert max(map(len, str(picture).splitlines())) < 160


def test_the_command_draws_the_same_as_python(tmp_path, capsys):
    options = ["sac/pendulum", "compile=false", "matmul_precision=highest", "collectors.n=4"]
    assert main(["diagram", *options, "--output", str(tmp_path / "sac.svg")]) == 0
    assert main(["diagram", *options]) == 0
    algorithm = SAC("sac/pendulum", options[1:])
    picture = diagram(algorithm)
    algorithm.train_env.close()
    assert (tmp_path / "sac.svg").read_text() == picture.svg()
    assert str(picture) in capsys.readouterr().out


def test_an_algorithm_without_a_configuration_has_none():
    assert topology_of(object(), "replay buffer", 1, 2) is None


@pytest.mark.parametrize(
    ("n", "words"),
    [(7, "7 bytes"), (999, "999 bytes"), (1200, "1.2 kB"), (51_200, "51 kB"), (2_040_000, "2.0 MB"), (3e9, "3.0 GB")],
)
def test_sizes_are_told_in_words(n, words):
    assert written_bytes(n) == words
