"""A short run of the simulation with twelve days."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.simulation, pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]


def run(*arguments):
    """Run in a process of its own, since the simulation replaces time, randomness and database."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--json", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.stdout, json.loads(done.stdout.splitlines()[-1])


def test_twelve_days_of_faults_lose_nothing():
    output, summary = run("--seeds", "12")
    assert summary["red"] == [], output
    assert summary["seeds"] == 12
    for kind in ("lost", "duplicated", "wrong", "open_as_closed", "late"):
        assert summary[kind] == 0, output
    assert summary["covered"]["closes"] > 12_000
    for task in ("advance", "sweep_quality", "sweep_outbox", "re_read_history"):
        assert summary["covered"]["tasks"].get(task), f"no day had a {task}: the schedule does not work"


def test_a_planted_defect_is_detected():
    summary = run("--seed", "0", "--plant", "ignore_corrections")[1]
    assert summary["red"] == [0]
    assert summary["wrong"] > 0


def test_a_seed_gives_the_same_run():
    assert run("--seed", "3")[1]["hash"] == run("--seed", "3")[1]["hash"]


def test_the_simple_feed_fails_on_the_same_days():
    summary = run("--seeds", "1", "--control")[1]
    assert summary["control"]["red"] == 1
