"""The shape of the code: imports run one way, files stay small, tasks stay thin."""

import ast
import os
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


def test_no_process_loads_a_compiler_before_its_first_label_nor_pandas_before_its_first_frame():
    """Serving would pay for them with memory and start-up time; even what offers a training only names them."""
    modules = "mlengine_project.urls, signals.services, predictions.services, modelregistry.services, indicators.labels"
    heavy = {"numba", "llvmlite", "pandas", "talib", "scipy.stats", "binance"}
    program = f"import django, sys; django.setup(); import {modules}; print({heavy} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "mlengine_project.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.strip() == "set()", found.stdout + found.stderr


WAITS = ("sleep", "monotonic", "perf_counter")
SIMULATED = {"marketdata", "predictions", "signals"}
KEEPERS_OF_SECRETS = {
    "mlengine_project/access/keys.py",
    "mlengine_project/access/tickets.py",
    "mlengine_project/environment.py",
    "mlengine_project/first_run.py",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_time_and_chance_come_through_the_clock_port(path):
    if path.relative_to(ROOT) in {Path("marketdata/clock.py"), Path("marketdata/chance.py")}:
        return
    banned = {("datetime", "now"), ("datetime", "utcnow"), ("timezone", "now"), ("uuid", "uuid4"), ("os", "urandom")}
    banned |= {
        ("time", name) for name in ("time", "time_ns", *(WAITS if path.parts[len(ROOT.parts)] in SIMULATED else ()))
    }
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            assert (node.func.value.id, node.func.attr) not in banned, f"{path}:{node.lineno} reads a raw clock"
            assert node.func.value.id != "random", f"{path}:{node.lineno} throws its own dice"
        if isinstance(node, ast.ImportFrom):
            assert node.module not in {"time", "random", "secrets"}, f"{path}:{node.lineno} hides where a name is from"
        if isinstance(node, ast.Import) and path.relative_to(ROOT).as_posix() not in KEEPERS_OF_SECRETS:
            assert "secrets" not in {name.name for name in node.names}, f"{path}:{node.lineno} draws secrets"
