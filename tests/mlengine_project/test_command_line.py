"""Commands on a database that is not migrated, or not there, end with one sentence."""

import json
import os

from mlengine_project.environment import ROOT
from tests.fresh_processes import run_script

COMMANDS = [
    ["candles_quality"],
    ["train_models"],
    ["evaluate_models", "--from", "2025-01-01", "--to", "2025-01-02"],
    ["compare_models", "abc", "def", "--from", "2025-01-01", "--to", "2025-01-02"],
    ["list_models"],
    ["replay_predictions", "--from", "2025-01-01", "--to", "2025-01-02", "--ranges", "ranges.csv"],
    ["check_leakage"],
    ["verify_track_record"],
    ["create_api_key", "mine"],
    ["promote_model", "abc", "--reason", "why"],
    ["backfill_candles", "--from", "2025-01-01"],
    ["seed_markets"],
    ["install_schedule"],
    ["rollback_model", "range_predictor", "--reason", "why"],
    ["export_candles", "candles"],
]


EVERY_COMMAND = """
import contextlib, io, json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "mlengine_project.settings"
from mlengine_project.command_line import execute

ended = []
for arguments in json.loads(sys.argv[1]):
    errors, code = io.StringIO(), 0
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            execute(["manage.py", *arguments])
        except SystemExit as stop:
            code = stop.code
    ended.append([arguments[0], code, errors.getvalue()])
print(json.dumps(ended))
"""


def run(arguments, folder, script=ROOT / "manage.py", **environment):
    own = {"MLENGINE_STATE_DIR": str(folder), "MLENGINE_ENV_FILE": "", "DATABASE_URL": "", "REDIS_URL": ""}
    return run_script(script, *arguments, environment={**os.environ, **own, **environment}, cwd=folder)


def test_commands_before_migrate_report_it(tmp_path):
    """All in one process, which is started once."""
    (tmp_path / "every.py").write_text(EVERY_COMMAND)
    ended = run([json.dumps(COMMANDS)], tmp_path, script=tmp_path / "every.py", PYTHONPATH=str(ROOT))
    assert ended.returncode == 0, ended.stderr
    for name, code, written in json.loads(ended.stdout):
        assert code != 0, name
        assert "Traceback" not in written
        assert written.rstrip().endswith("run `manage.py migrate`"), (name, written)


def test_command_before_migrate_ends_its_process_with_an_error(tmp_path):
    ended = run(COMMANDS[0], tmp_path)
    assert ended.returncode != 0
    assert ended.stderr.rstrip().endswith("run `manage.py migrate`"), ended.stderr


def test_doctor_before_migrate_refers_to_the_database(tmp_path):
    ended = run(["doctor", "--json"], tmp_path)
    assert ended.returncode == 1
    findings = {finding["part"]: finding for finding in json.loads(ended.stdout)}
    assert findings["database"]["advice"] == "run `manage.py migrate`"
    for part in ("markets", "schedule", "models", "binance", "beat", "signals", "predictions"):
        assert (findings[part]["well"], findings[part]["advice"]) == (False, "see `database`"), findings[part]


def test_missing_database_is_reported(tmp_path):
    ended = run(["candles_quality"], tmp_path, DATABASE_URL="postgres://nobody@127.0.0.1:9/none")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "the database cannot be used: " in ended.stderr


def test_the_state_folder_holds_database_models_and_archive(tmp_path):
    code = "from django.conf import settings as s; print(s.DATABASES['default']['NAME'], s.MODEL_PATH, s.ARCHIVE_PATH)"
    ended = run(["shell", "--no-imports", "-c", code], tmp_path)
    database, models, archive = ended.stdout.split()
    assert {database, models, archive} == {str(tmp_path / name) for name in ("mlengine.sqlite3", "models", "archive")}
