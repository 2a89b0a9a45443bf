"""The shape of the code: imports run one way, files stay small, tasks stay thin."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["mlengine_project", "signals", "predictions", "modelregistry", "marketdata", "indicators"]
SOURCES = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts]


def test_import_contracts_are_kept():
    found = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_too_long_to_see_across(path):
    assert len(path.read_text().splitlines()) <= 300


def test_no_bag_of_helpers():
    bags = {"utils", "helpers", "common", "misc", "core", "manager"}
    assert not [path for path in SOURCES if path.stem in bags or bags & set(path.parts)]


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "tasks.py"], ids=lambda path: path.parts[-2])
def test_task_bodies_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            statements = [s for s in node.body if not isinstance(s, ast.Expr) or not isinstance(s.value, ast.Constant)]
            assert len(statements) <= 6, f"{path.name}:{node.name} holds logic"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_time_and_chance_come_through_the_clock_port(path):
    if path.relative_to(ROOT) in {Path("marketdata/clock.py"), Path("marketdata/chance.py")}:
        return
    banned = {("time", "time"), ("datetime", "now"), ("datetime", "utcnow"), ("timezone", "now"), ("uuid", "uuid4")}
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            assert (node.func.value.id, node.func.attr) not in banned, f"{path}:{node.lineno} reads a raw clock"
