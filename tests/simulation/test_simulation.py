"""Twenty days in CI: what the many of a release are held to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.simulation, pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]


def run(*arguments):
    """A process of its own: the simulation replaces time, chance and the database of all it imports."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--json", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.stdout, json.loads(done.stdout.splitlines()[-1])


def test_twenty_days_of_faults_lose_nothing():
    told, summary = run("--seeds", "20")
    assert summary["red"] == [], told
    assert summary["seeds"] == 20
    for kind in ("lost", "duplicated", "wrong", "open_as_closed", "late"):
        assert summary[kind] == 0, told
    assert summary["covered"]["closes"] > 20_000
    for task in ("advance", "sweep_quality", "sweep_outbox", "re_read_history"):
        assert summary["covered"]["tasks"].get(task), f"no day had a {task}: the beat is not heard"


def test_a_planted_defect_is_seen():
    summary = run("--seed", "0", "--plant", "ignore_corrections")[1]
    assert summary["red"] == [0]
    assert summary["wrong"] > 0


def test_a_seed_is_one_run():
    assert run("--seed", "3")[1]["hash"] == run("--seed", "3")[1]["hash"]


def test_the_same_days_are_too_much_for_a_tutorials_feed():
    summary = run("--seeds", "1", "--control")[1]
    assert summary["control"]["red"] == 1
