"""The command `simulate_exchange` in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

ROOT = Path(__file__).resolve().parents[3]


def test_it_serves_and_writes_a_ledger(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    command = [sys.executable, "-W", "ignore", "manage.py", "simulate_exchange", "--port", "0", "--speed", "3000"]
    process = subprocess.Popen(
        [*command, "--seed", "5", "--symbols", "BTCUSDT,SOLUSDT", "--ledger", str(ledger)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "MLENGINE_STATE_DIR": str(tmp_path)},
    )
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        assert lines[0] == "simulated prices of BTCUSDT, SOLUSDT\n"
        url = lines[2].strip().removeprefix("BINANCE_API_URL=")
        with urllib.request.urlopen(f"{url}/api/v3/klines?symbol=SOLUSDT&interval=5m", timeout=20) as answer:
            assert len(json.load(answer)) == 500
        while not ledger.read_text():
            pass
    finally:
        process.send_signal(signal.SIGINT)
        try:
            rest, _ = process.communicate(timeout=40)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "entries in the ledger" in rest
    assert json.loads(ledger.read_text().splitlines()[0])["event"] == "closed"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--host", "0.0.0.0"], "loopback"),
        (["--data", "nowhere/BTCUSDT-5m.parquet"], "there is no file"),
        (["--start", "soon"], "argument --start: 'soon' is no time"),
        (["--speed", "-1"], "speed must be"),
        (["--faults", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_options_are_reported_in_one_sentence(flags, reason):
    with pytest.raises(CommandError, match=reason):
        call_command("simulate_exchange", "--port", "0", *flags)
