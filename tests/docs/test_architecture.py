"""docs/architecture.md: its picture is that of the code, what it names exists, and imports run one way."""

import re
import runpy

from tests.guides import ROOT, Page

HOUSE = runpy.run_path(str(ROOT / "docs" / "make_architecture.py"))
PAGE = Page(ROOT / "docs" / "architecture.md")


def test_the_picture_and_the_table_are_those_of_the_code():
    assert HOUSE["PICTURE"].read_text() == HOUSE["draw"](), "run python docs/make_architecture.py"
    assert PAGE.text == HOUSE["page"](), "run python docs/make_architecture.py"


def test_the_picture_fits_one_screen():
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', HOUSE["draw"]()).groups())
    assert width <= 1280 and height <= 800
    assert [room for room in HOUSE["rooms"]() if not 10 < len(HOUSE["purpose"](room)) < 117] == []


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
