"""docs/architecture.md: its picture is that of the code, what it names exists, and imports run one way."""

import graphlib
import re
import runpy

from tests.guides import ROOT, Page

HOUSE = runpy.run_path(str(ROOT / "docs" / "make_architecture.py"))
PAGE = Page(ROOT / "docs" / "architecture.md")
#: A row of the table that follows a transition: the file, and the names in it that are called.
STEP = re.compile(r"^\| \[[^\]]*\]\(([^)]*)\) \| ([^|]+) \|", re.MULTILINE)


def test_the_picture_and_the_table_are_those_of_the_code():
    assert HOUSE["PICTURE"].read_text() == HOUSE["draw"](), "run python docs/make_architecture.py"
    assert PAGE.text == HOUSE["page"](), "run python docs/make_architecture.py"


def test_the_picture_fits_one_screen():
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', HOUSE["draw"]()).groups())
    assert width <= 1280 and height <= 900
    assert [room for room in HOUSE["rooms"]() if not 10 < len(HOUSE["purpose"](room)) < 117] == []


def test_all_arrows_lead_down():
    rooms = HOUSE["rooms"]()
    assert [arrow for arrow in HOUSE["arrows"]() if rooms.index(arrow[0]) >= rooms.index(arrow[1])] == []


def test_no_files_import_each_other_in_a_circle_not_even_lazily_or_for_types():
    graphlib.TopologicalSorter(HOUSE["imports"]()).prepare()  # its error names the circle


def test_imports_of_both_forms_and_within_functions_are_seen(tmp_path):
    path = tmp_path / "file.py"
    path.write_text(
        "import a.b, os\nfrom a import c, D\nif TYPE_CHECKING:\n    from a.e import F\n"
        "def f():\n    import a.g as g\n    from . import h\n"
    )
    known = dict.fromkeys(["a", "a.b", "a.c", "a.e", "a.g", "a.h"], path)
    assert set(HOUSE["_imported"](path, known)) == {"a", "a.b", "a.c", "a.e", "a.g"}


def test_files_and_folders_that_the_page_names_exist():
    named = set(re.findall(r"`([\w/.]+(?:\.(?:py|md|toml|svg|yaml)|/))`", PAGE.text))
    places = (ROOT, ROOT / "workspace_rl")
    assert named and [one for one in named if not any((place / one).exists() for place in places)] == []


def test_the_steps_of_a_transition_are_where_the_page_says():
    walk = PAGE.text.partition("## One transition")[2]
    steps = STEP.findall(walk)
    assert len(steps) == walk.count("| [") > 20
    for link, names in steps:
        text = (PAGE.path.parent / link).read_text()
        for name in re.findall(r"`([\w.]+)`", names):
            assert re.search(rf"\b(def|class) {name.rpartition('.')[2]}\b", text), (link, name)
