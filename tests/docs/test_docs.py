"""The guides: their code runs and prints what they say, their links lead somewhere, their tables agree with code."""

import dataclasses
import importlib
import re
import shlex

import pytest

from tests.guides import PAGES, ROOT, Page
from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.algos import ALGORITHMS
from workspace_rl.cli.program import build_parser
from workspace_rl.config.collectors_config import CollectorsConfig
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.networks_config import EncoderConfig, MemoryConfig
from workspace_rl.config.plain_yaml import read_yaml
from workspace_rl.config.run_config import RunConfig
from workspace_rl.config.schema import resolve_config
from workspace_rl.config.sources import apply_overrides, load_config
from workspace_rl.config.training_config import (
    HindsightConfig,
    OffPolicyConfig,
    OnPolicyConfig,
    PrioritizedConfig,
    TrainingConfig,
)
from workspace_rl.runs.metrics_file import read_metrics

#: "bbrl" and "here" are programs of docs/from-bbrl.md, which tests/compat/test_guide.py runs.
PROGRAMS = [(path, name) for path in PAGES for name in Page(path).programs() if name not in ("bbrl", "here")]
EVERYTHING = [ROOT / "README.md", *PAGES]
SOURCES = "\n".join(
    path.read_text() for top in ("workspace_rl", "agents", "algos") for path in (ROOT / top).rglob("*.py")
)
PARAMETERS = "| parameter | default | meaning | sensible |"


def algorithm_page(name):
    return Page(ROOT / "docs" / "algorithms" / f"{name}.md")


def short(value):
    return str(value.relative_to(ROOT)) if hasattr(value, "relative_to") else value


@pytest.mark.parametrize(("path", "name"), PROGRAMS, ids=short)
def test_code_runs_and_prints_what_the_page_says(path, name, tmp_path):
    page = Page(path)
    printed = page.run(page.program(name), tmp_path / "program")
    for block in page.blocks("text"):
        if block.words == ["printed", *([name] if name else [])]:
            assert "\n".join(block.lines) in "\n".join(line.rstrip() for line in printed.splitlines())


def test_code_that_is_quoted_from_a_file_stands_there():
    quoted = [block for path in PAGES for block in Page(path).blocks("py") if block.name]
    assert quoted
    for block in quoted:
        indented = ["\n".join(f"{' ' * 4 * n}{line}" for line in block.lines) for n in range(5)]
        assert any(one in (ROOT / block.name).read_text() for one in indented), block


def test_the_blocks_of_the_readme_run_one_after_the_other_as_they_stand(tmp_path):
    page = Page(ROOT / "README.md")
    assert page.programs() == [""]
    program = page.program()
    assert '"total_steps": 20_000' in program  # a minute; a shorter run does the same
    short = '"total_steps": 700, "final_episodes": 1, "nb_evals": 1'
    page.run(program.replace('"total_steps": 20_000', short), tmp_path / "program")
    assert {one.name for one in (tmp_path / "program").glob("*.*g")} == {"agent.svg", "curves.svg", "values.png"}


def test_pictures_are_small():
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()}
    assert (
        sizes.keys() == {"film.png", "learning-curve.png", "composition.svg", "memory.svg", "architecture.svg"}
        and sum(sizes.values()) < 500_000
    )


@pytest.mark.parametrize("path", EVERYTHING, ids=short)
def test_links_lead_to_files_and_headings_that_exist(path):
    for link in Page(path).links():
        if re.match(r"https?://", link):
            continue
        file, _, heading = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if heading:
            assert heading in Page(target).headings(), link


def test_the_index_leads_to_every_guide():
    index = Page(ROOT / "docs" / "README.md")
    linked = {(index.path.parent / link).resolve() for link in index.links() if not link.startswith("http")}
    assert {path for path in PAGES if path != index.path} <= linked


@pytest.mark.parametrize("path", PAGES, ids=short)
def test_formulas_within_lines_have_nothing_that_markdown_takes_for_an_escape(path):
    formulas = re.findall(r"\$([^$\n]+)\$", Page(path).prose())
    assert [one for one in formulas if re.search(r"\\[^A-Za-z]", one)] == []


@pytest.mark.parametrize("path", EVERYTHING, ids=short)
def test_commands_are_understood_and_their_configurations_valid(path):
    for block in Page(path).blocks("sh"):
        script = "\n".join(re.sub(r"\s#.*", "", line) for line in block.lines)
        for command in re.findall(r"(?:^|do )workspace-rl ([^;\n]+)", script, re.MULTILINE):
            options = build_parser().parse_args(shlex.split(command.replace("$seed", "1")))
            if hasattr(options, "config") and not options.config.endswith(".yaml"):
                config = apply_overrides(load_config(options.config), options.overrides)
                resolve_config(find_algorithm(config.algo).config_class, config)


@pytest.mark.parametrize("path", EVERYTHING, ids=short)
def test_whole_configurations_are_valid(path):
    for block in Page(path).blocks("yaml"):
        config = read_yaml("\n".join(block.lines))
        if "algo" in config:
            resolve_config(find_algorithm(config["algo"]).config_class, config)


# ---- tables -------------------------------------------------------------------------------------------------------


def defaults(schema, without=()):
    """Return each parameter of a schema with its default as it is written in a table."""
    known = {one.name for base in without for one in dataclasses.fields(base)}
    written = {}
    for one in dataclasses.fields(schema):
        default = getattr(schema(), one.name)
        if isinstance(default, MemoryConfig):  # the same for all algorithms, and explained once
            continue
        if dataclasses.is_dataclass(default):
            written |= {f"{one.name}.{name}": value for name, value in defaults(type(default)).items()}
        elif one.name not in known:
            text = str(default).lower() if isinstance(default, bool) else str(default)
            written[one.name] = f"{default:,}" if type(default) is int else "null" if default is None else text
    return written


def table(page, header=PARAMETERS):
    return {cells[0].strip("`"): cells[1].strip("`") for cells in page.rows(header)}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_parameter_of_an_algorithm_is_explained_with_its_default(name):
    schema = dataclasses.fields(ALGORITHMS[name].config_class)
    (parameters,) = (one.default_factory for one in schema if one.name == "algorithm")
    (known,) = (defaults(one) for one in (OffPolicyConfig, OnPolicyConfig) if issubclass(parameters, one))
    own = {name: default for name, default in defaults(parameters).items() if known.get(name) != default}
    assert own and table(algorithm_page(name)) == own


def test_every_parameter_that_algorithms_share_is_explained_with_its_default():
    page = Page(ROOT / "docs" / "running.md")
    assert table(page) == defaults(TrainingConfig)
    for kind, schema in (("off", OffPolicyConfig), ("on", OnPolicyConfig)):
        explained = table(page, PARAMETERS.replace("parameter", f"parameter of {kind}-policy algorithms"))
        assert explained == defaults(schema, without=[TrainingConfig])


def test_every_key_of_an_environment_is_explained():
    explained = {cells[0].strip("`") for cells in Page(ROOT / "docs" / "running.md").rows("| key of `gym_env` | |")}
    assert explained == {one.name for one in dataclasses.fields(EnvironmentConfig)} - {"env_name"}


def test_every_key_of_collectors_is_explained_with_its_default():
    rows = Page(ROOT / "docs" / "running.md").rows("| key of `collectors` | default | |")
    assert {cells[0].strip("`"): cells[1].strip("`") for cells in rows} == defaults(CollectorsConfig)


@pytest.mark.parametrize(("section", "schema"), [("encoder", EncoderConfig), ("memory", MemoryConfig)])
def test_every_key_of_encoders_and_memories_is_explained_with_its_default(section, schema):
    rows = Page(ROOT / "docs" / "running.md").rows(f"| key of `architecture.{section}` | default | |")
    assert {cells[0].strip("`"): cells[1].strip("`") for cells in rows} == defaults(schema)


def test_every_key_of_prioritised_replay_is_explained_with_its_default():
    rows = Page(ROOT / "docs" / "prioritized-replay.md").rows("| key of `prioritized` | default | |")
    assert {cells[0].strip("`"): cells[1].strip("`") for cells in rows} == defaults(PrioritizedConfig)


def test_every_key_of_hindsight_is_explained_with_its_default():
    rows = Page(ROOT / "docs" / "goals.md").rows("| key of `hindsight` | default | |")
    assert {cells[0].strip("`"): cells[1].strip("`") for cells in rows} == defaults(HindsightConfig)


def test_keys_that_decide_how_fast_a_run_is_are_told_with_their_defaults():
    rows = Page(ROOT / "docs" / "running.md").rows("| key | default | |")
    told = {cells[0].strip("`"): cells[1].strip("`") for cells in rows}
    known = defaults(RunConfig)
    assert len(told) == 5 and told == {name: known[name] for name in told}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_terms_of_equations_lead_to_code_that_exists(name):
    rows = algorithm_page(name).rows("| term | in the code | |")
    named = [one for cells in rows for one in re.findall(r"`([^`]+)`", cells[1])]
    assert len(named) >= 5
    assert [one for one in named if one not in SOURCES] == []


@pytest.mark.parametrize("path", PAGES, ids=short)
def test_measurements_that_are_named_exist(path):
    kinds = "loss|q_value|entropy|gradient_norm|train|eval|exploration|time"
    named = set(re.findall(rf"`((?:{kinds})/\w+)`", Page(path).prose()))
    assert {name for name in named if f'"{name}"' not in SOURCES} == set()


def test_scores_are_those_that_were_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    score_tables = importlib.import_module("score_tables")
    generated = score_tables.tables()
    assert len(generated) > len(ALGORITHMS) + 20
    assert {short(path) for path, text in generated.items() if path.read_text() != text} == set()


@pytest.mark.parametrize("path", PAGES, ids=short)
def test_measurements_of_runs_are_those_of_their_files(path):
    page = Page(path)
    for header in (line for line in page.lines if line.startswith("| step of [")):
        run, names = re.search(r"\(([^)]+)\)", header)[1], re.findall(r"`([^`]+)`", header)
        metrics = {name: dict(pairs) for name, pairs in read_metrics(path.parent / run).items()}
        for step, *cells in page.rows(header):
            for name, cell in zip(names, cells, strict=True):
                decimals = len(cell.partition(".")[2])
                assert cell == f"{metrics[name][int(step.replace(',', ''))]:.{decimals}f}", (run, step, name)
