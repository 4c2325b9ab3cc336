import html.parser
import json
import re
import sys

import numpy as np
import pytest

from tests.browser import visit
from tests.run_folders import make_run
from workspace_rl.algos import SAC
from workspace_rl.errors import ConfigError, MissingDependencyError, RenderingError, RunFolderError
from workspace_rl.report import page, report_page, write_report
from workspace_rl.runs.record import RunRecord
from workspace_rl.runs.run import Run

#: What a stranger may put wherever there is room for a text.
ATTACK = "</title></svg></style><script>document.title='attacked'</script><img src=x onerror=alert(1)>\"'$x$\u202e"


class Page(html.parser.HTMLParser):
    """All elements with their attributes, and the text that is seen."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" not in self.open:
            self.text = " ".join([*self.text.split(), *data.split()])

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of SAC, with its film."""
    run = tmp_path_factory.mktemp("report") / "run"
    SAC(
        {
            "gym_env": {"env_name": "CartPoleContinuous-v1"},
            "base_dir": str(run),
            "algorithm": {
                "total_steps": 400,
                "learning_starts": 100,
                "n_envs": 2,
                "n_steps": 4,
                "batch_size": 16,
                "nb_evals": 2,
                "eval_interval": 200,
                "final_episodes": 5,
                "discount_factor": 0.875,
                "architecture": {"actor_hidden_size": [16], "critic_hidden_size": [16]},
            },
            "logger": {"log_interval": 100},
            "compile": False,
        }
    ).train(progress=False)
    return run


@pytest.fixture(scope="module")
def text(trained):
    """The report of that run."""
    return write_report(trained).read_text()


def test_the_report_tells_all_of_a_run(trained, text):
    report = Page(text)
    final = json.loads((trained / "best" / "eval.json").read_text())["final"]
    provenance = json.loads((trained / "provenance.json").read_text())
    for part in (
        "SAC on CartPoleContinuous-v1",
        "Final score",
        f"{np.mean(final['returns']):.2f} 95% interval",
        "5 fresh episodes",
        "Best evaluation",
        "Learning curve",
        "episodes while training (exploring)",
        "Losses and gradient norms",
        "gradient_norm/critic",
        "Other measurements",
        "entropy/coefficient",
        "discount_factor 0.875",
        "actor_hidden_size [16]",
        f"torch {provenance['versions']['torch']}",
        *provenance["commits"].values(),
        *map(str, final["seeds"]),
    ):
        assert part in report.text, part
    (video,) = report.named("video")
    film = page._data_url("video/mp4", (trained / "best" / "best_agent.mp4").read_bytes())
    assert video["src"] == film and "controls" in video
    assert "Not finite" not in report.text and "Composition" in report.text


def test_the_report_is_one_file_without_scripts_and_addresses(text):
    report = Page(text)
    assert not report.named("script") and not report.named("link") and not report.named("iframe")
    for _, attributes in report.elements:
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"@import|url\((?!#)", text)
    policies = [one["content"] for one in report.named("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"]


def test_the_same_run_gives_the_same_page(trained, text):
    assert report_page(trained) == text


def test_pictures_and_tables_can_be_read_by_those_who_do_not_see_them(text):
    report = Page(text)
    pictures = [one for one in report.named("figure") if one]  # one without is around an image
    assert all(
        one.get("aria-label") or one.get("alt") for one in pictures + report.named("img") + report.named("video")
    )
    assert all(one.get("scope") for one in report.named("th"))
    assert report.named("html") == [{"lang": "en"}] and len(report.named("h1")) == 1
    ids = [one["id"] for tag, one in report.elements if tag == "h2"]
    assert [one["aria-labelledby"] for one in report.named("section")] == ids


def test_what_differs_from_the_defaults_is_marked(text):
    changed = {
        re.search(r"<th[^>]*>(.*?)</th>", row).group(1) for row in re.findall(r'<tr class="changed">.*?</tr>', text)
    }
    assert {"discount_factor", "n_envs", "architecture.actor_hidden_size", "log_interval"} <= changed
    assert not changed & {"seed", "tau_target", "env_name", "base_dir", "compile", "classname", "lr"}


def test_nothing_of_a_strangers_run_gets_into_the_page(tmp_path):
    name = ATTACK.replace(",", "")
    run = make_run(
        tmp_path / "run",
        {name: [(1, 1.0), (2, float("nan"))], "loss/" + name: [(1, 2.0)], "eval/return_mean": [(1, 2.0)]},
        seed=ATTACK,
        env_name=ATTACK,
        algo=ATTACK,
        scores={"final": [1.0, 2.0]},
        **{ATTACK: ATTACK},
    )
    (run / "provenance.json").write_text(json.dumps({ATTACK: {ATTACK: ATTACK}}))
    text = report_page(run)
    report = Page(text)
    assert not report.named("script") and not report.named("img") and "\u202e" not in text
    assert len(report.named("title")) == 1 and len(report.named("style")) == 1
    assert report.text.count("<script>document.title='attacked'</script>") > 8  # shown as it is
    write_report(run, tmp_path / "report.html")
    title, wrong = visit(tmp_path / "report.html", "document.title")
    assert title.startswith("</title>") and not wrong


def test_a_run_that_has_just_begun(tmp_path):
    run = make_run(tmp_path / "run", {}, total_steps=1000)
    report = Page(report_page(run))
    assert "0 of 1,000" in report.text and "The run does not say what made it" in report.text
    assert not report.named("svg") and not report.named("video")
    (run / "metrics.csv").unlink()
    assert "0 of 1,000" in Page(report_page(run)).text


def test_a_run_that_diverged(tmp_path):
    metrics = {"loss/critic": [(100, 1.0), (200, float("nan"))], "loss/actor": [(100, float("inf"))]}
    text = Page(report_page(make_run(tmp_path / "run", metrics, scores={"final": [3.0]}))).text
    assert "Not finite: loss/critic (first at step 200), loss/actor (first at step 100)" in text
    assert "3.00 1 fresh episodes" in text  # without an interval


def test_a_film_that_is_too_long_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_VIDEO_BYTES", 10)
    run = make_run(tmp_path / "run", {}, scores={"final": [1.0]})
    (run / "best" / "best_agent.mp4").write_bytes(b"x" * 11)
    report = Page(report_page(run))
    assert not report.named("video") and "too long for this page: best/best_agent.mp4" in report.text


def test_a_diagram_of_the_composition_is_shown_as_an_image(tmp_path):
    run = make_run(tmp_path / "run", {})
    (run / "composition.svg").write_text("<svg onload='alert(1)'/>")
    report = Page(report_page(run))
    (image,) = report.named("img")
    assert image["src"].startswith("data:image/svg+xml;base64,") and "Composition" in report.text


def test_what_is_no_run_is_told(tmp_path, monkeypatch):
    with pytest.raises(RunFolderError, match="is not the folder of a run"):
        write_report(tmp_path)
    run = make_run(tmp_path / "run", {"x": [(1, 1.0)]})
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_report(run, "/proc/report.html")
    (run / "config.yaml").write_text("[1]")
    with pytest.raises(ConfigError, match="must hold a dictionary"):
        write_report(run)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r'pip install --editable ".*\[plots\]"'):
        report_page(make_run(tmp_path / "other", {"x": [(1, 1.0)]}))


PLAYED = """
new Promise(resolve => {
  const video = document.querySelector("video");
  video.addEventListener("timeupdate", () => {
    if (video.currentTime > 0.1) resolve([video.readyState, video.videoWidth, video.error === null]);
  });
  video.addEventListener("error", () => resolve(video.error.message));
  if (video.error) resolve(video.error.message);
  video.play().catch(error => resolve(String(error)));
})
"""


def test_the_page_opens_in_a_browser_without_errors_and_its_film_plays(text, tmp_path):
    (tmp_path / "alone.html").write_text(text)
    played, wrong = visit(tmp_path / "alone.html", PLAYED)
    assert not wrong
    assert isinstance(played, list), played
    ready, width, healthy = played
    assert ready >= 2 and width > 100 and healthy


def test_the_browser_sees_what_goes_wrong(tmp_path):
    (tmp_path / "page.html").write_text("<script>console.log(1); nothing.at.all</script><img src='missing.png'>")
    value, wrong = visit(tmp_path / "page.html", "Promise.resolve(1 + 1)")
    assert value == 2
    assert {one["method"] for one in wrong} >= {
        "Runtime.consoleAPICalled",
        "Runtime.exceptionThrown",
        "Network.requestWillBeSent",
    }


def test_a_report_is_html_only(tmp_path):
    run = make_run(tmp_path / "run", {})
    for name in ("report.pdf", "report", "report.png"):
        with pytest.raises(RenderingError, match=r"a report is an \.html file"):
            write_report(run, tmp_path / name)
        assert not (tmp_path / name).exists()
    assert write_report(run, tmp_path / "report.HTM").is_file()


def test_collectors_are_told_one_stretch_after_the_other(tmp_path):
    run = make_run(tmp_path / "run", {"eval/return_mean": [(10, 1.0)]}, total_steps=20_000)
    assert "Collectors" not in report_page(run) and RunRecord(run).collectors() == []
    Run(run).add_collectors({"from_step": 0, "to_step": 640, "n": 2, "where": "local", "restarts": 1})
    Run(run).add_collectors({"from_step": 640, "to_step": 900, "n": 4, "where": ATTACK, "steps_per_second": 12.5})
    row = r'<tr><th scope="row">([^<]+)</th>((?:<td class="number">[^<]*</td>)+)</tr>'
    rows = re.findall(row, report_page(run))
    told = {name: re.findall(r">([^<]*)</td>", cells) for name, cells in rows}
    assert told["n"] == ["2", "4"] and told["restarts"] == ["1", ""] and told["steps per second"] == ["", "12.5"]
    assert "steps 0 to 640" in report_page(run) and "<script>" not in report_page(run)
    (run / "collectors.json").write_text('{"stretches": [1]}')
    with pytest.raises(RunFolderError, match=r"collectors\.json is damaged"):
        report_page(run)


def test_the_wall_time_is_told_and_adds_up(tmp_path):
    run = make_run(tmp_path / "run", {}, env_name="Pendulum-v1", total_steps=20_000)
    assert "Wall time" not in report_page(run)
    for seconds, text in ((42.0, "42 s"), (100.0, "2 min 22 s"), (7200.0, "2 h 2 min")):
        Run(run).add_wall_time(seconds)
        page = report_page(run)
        assert "Wall time" in page and text in page
    (run / "wall_time.json").write_text("[]")
    with pytest.raises(RunFolderError, match=r"wall_time\.json is damaged"):
        report_page(run)
