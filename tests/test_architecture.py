"""Architecture rules: import contracts, file length, short tasks, clocks and randomness."""

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["mlengine_project", "signals", "predictions", "modelregistry", "marketdata", "indicators"]
SOURCES = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts]


def test_import_contracts_are_kept():
    found = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_no_files_import_each_other_in_a_circle():
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError and names the files


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_have_at_most_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def test_no_modules_named_helpers_or_utils():
    bags = {"utils", "helpers", "common", "misc", "core", "manager"}
    assert not [path for path in SOURCES if path.stem in bags or bags & set(path.parts)]


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "tasks.py"], ids=lambda path: path.parts[-2])
def test_task_bodies_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            statements = [s for s in node.body if not isinstance(s, ast.Expr) or not isinstance(s.value, ast.Constant)]
            assert len(statements) <= 6, f"{path.name}:{node.name} holds logic"


def test_serving_imports_neither_numba_nor_pandas():
    """They would cost memory and start-up time of serving processes."""
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


WAITS = {"time.sleep", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns"}
CLOCKS = {
    "time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today",
    "datetime.date.today", "django.utils.timezone.now", "django.utils.timezone.localtime",
    "django.utils.timezone.localdate",
}  # fmt: skip
IDENTITIES = {"uuid.uuid1", "uuid.uuid4", "os.urandom", "os.getrandom"}
SEEDED = {"default_rng", "Philox", "PCG64", "SeedSequence", "RandomState"}
PORTS = {Path("marketdata/clock.py"), Path("marketdata/randomness.py")}
SIMULATED = {"marketdata", "predictions", "signals"}
SECRET_MODULES = {
    "mlengine_project/access/keys.py",
    "mlengine_project/access/tickets.py",
    "mlengine_project/environment.py",
    "mlengine_project/embedded/first_run.py",
}


def raw_calls(tree, *, waits):
    """Calls of raw clocks or random generators under any imported name: line and full name."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                one.asname or one.name.split(".")[0]: one.name if one.asname else one.name.split(".")[0]
                for one in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}

    def full_name(node):
        if isinstance(node, ast.Name):
            return names.get(node.id, "")
        if isinstance(node, ast.Attribute) and (before := full_name(node.value)):
            return f"{before}.{node.attr}"
        return ""

    banned = CLOCKS | IDENTITIES | (WAITS if waits else set())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and "secrets" in {
            getattr(node, "module", None),
            *(one.name for one in node.names),
        }:
            yield node.lineno, "secrets."
        if not isinstance(node, ast.Call):
            continue
        called = full_name(node.func)
        library, _, name = called.rpartition(".")
        draws = (
            library == "numpy.random" and not (name in SEEDED and (node.args or node.keywords)) and name != "Generator"
        )
        if called in banned or library in {"random", "secrets"} or draws:
            yield node.lineno, called


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_clocks_and_randomness_come_through_the_ports(path):
    where = path.relative_to(ROOT)
    if where in PORTS:
        return
    tree = ast.parse(path.read_text())
    found = list(raw_calls(tree, waits=where.parts[0] in SIMULATED))
    if where.as_posix() in SECRET_MODULES:
        found = [(line, name) for line, name in found if not name.startswith("secrets.")]
    assert not found, f"{path}: {found} belong behind marketdata.clock or marketdata.randomness"


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time as t\nt.time_ns()",
        "from time import monotonic as now\nnow()",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime as d, UTC\nd.now(UTC)",
        "from datetime import date\ndate.today()",
        "from django.utils import timezone\ntimezone.now()",
        "from django.utils.timezone import now\nnow()",
        "from uuid import uuid4\nuuid4()",
        "import os\nos.urandom(8)",
        "from random import choice\nchoice([1])",
        "import random\nrandom.Random()",
        "import secrets\nsecrets.token_hex()",
        "import numpy as np\nnp.random.default_rng()",
        "import numpy as np\nnp.random.normal(size=3)",
    ],
)
def test_raw_clock_or_randomness_is_found_under_any_name(source):
    assert list(raw_calls(ast.parse(source), waits=True))


@pytest.mark.parametrize(
    "source",
    [
        "from marketdata import clock\nclock.monotonic()",
        "import numpy as np\nnp.random.default_rng(7).normal()",
        "time = object()\ntime.time()",
    ],
)
def test_port_or_seeded_generator_is_accepted(source):
    assert not list(raw_calls(ast.parse(source), waits=True))
