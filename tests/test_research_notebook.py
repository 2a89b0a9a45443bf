"""The notebook of docs, executed cell by cell on an installation with simulated candles."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from indicators.features import WARMUP
from tests.installation import Installation

for package in ("nbclient", "ipykernel", "matplotlib"):
    pytest.importorskip(package, reason=f"{package} is not installed: uv sync --group research")

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs" / "research-api.ipynb"
PAGE = (ROOT / "docs" / "research-api.md").read_text()
pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """Candles of two markets, and a champion that ends before the notebook's last ten days."""
    found = Installation(tmp_path_factory.mktemp("notebook"))
    open_time = found.import_invented(WARMUP + 55 * 288)
    until = ("--until", open_time[-11 * 288])
    found.succeed("train_models", "--kinds", "range_predictor", "--source", "simulated", "--small", *until)
    return found


def test_the_notebook_is_committed_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_every_cell_runs(installation, tmp_path):
    (command,) = re.findall(r"^uv run --group research (jupyter execute \S+)", PAGE, re.MULTILINE)
    program, _, path = command.split()
    assert ROOT / path == NOTEBOOK
    done = subprocess.run(
        [str(Path(sys.executable).parent / program), "execute", str(NOTEBOOK), f"--output={tmp_path / 'executed'}"],
        env=installation.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cells = json.loads((tmp_path / "executed.ipynb").read_text())["cells"]
    pictures = [out for cell in cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert len(pictures) == 6
    assert "traceback" not in json.dumps(cells)
    printed = json.dumps([cell["outputs"] for cell in cells if "evaluate(" in "".join(cell["source"])])
    assert "har_season" in printed or "ewm" in printed or "climatology" in printed
