"""`docs/settings.md`, `.env.example` and the code name the same settings with the same defaults."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READERS = {"text", "address", "integer", "fraction", "boolean", "listing", "numbers"}
COMPOSE_ONLY = {"POSTGRES_PASSWORD"}
NOT_IN_EXAMPLE = {"MLENGINE_STATE_DIR", "MLENGINE_ENV_FILE"}
NOT_SETTINGS = {"PYTEST_XDIST_WORKER"}


def names_in_code():
    """Every environment variable that the settings read."""
    found = set()
    for name in ("environment.py", "settings.py"):
        for node in ast.walk(ast.parse((ROOT / "mlengine_project" / name).read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                function = ast.unparse(node.func)
                if function in READERS or function == "os.environ.get":
                    found.add(node.args[0].value)
    return found - NOT_SETTINGS


def rows_of_page():
    """Setting and default of every row in `docs/settings.md`."""
    text = (ROOT / "docs" / "settings.md").read_text()
    return dict(re.findall(r"^\| `([A-Z][A-Z_]+)` \| (.+?) \| .+ \|$", text, re.MULTILINE))


def lines_of_example():
    """Name and value of every line in `.env.example`."""
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^([A-Z][A-Z_]+)=(.*)$", text, re.MULTILINE))


def test_the_page_lists_every_setting_and_nothing_else():
    assert len(names_in_code()) > 25
    assert set(rows_of_page()) == names_in_code() | COMPOSE_ONLY


def test_the_example_lists_every_setting_and_nothing_else():
    assert set(lines_of_example()) == (names_in_code() | COMPOSE_ONLY) - NOT_IN_EXAMPLE


def test_the_defaults_of_the_example_are_those_of_the_page():
    page = rows_of_page()
    for name, value in lines_of_example().items():
        shown = page[name]
        assert shown == f"`{value}`" if value else not shown.startswith("`") or " " in shown, (name, value, shown)
