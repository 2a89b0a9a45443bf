"""Invalid and missing settings are reported by `manage.py check` with advice."""

import asyncio
import os
import subprocess
import sys

import pytest
from django.conf import settings

from indicators.features import FEATURE_NAMES, FeatureSet, feature_set
from mlengine_project import checks
from modelregistry import registry
from tests.fresh_processes import run_script
from tests.modelregistry import champions

BAD = {
    "API_PORT": ("99999", "write a port from 1 to 65535"),
    "RATE_LIMIT": ("many", "write a whole number"),
    "REQUEST_THREADS": ("500", "write 2 to 64"),
    "FEE_RATE": ("-1", "write a number from 0"),
    "DEFAULT_HORIZONS": ("6,x", "write DEFAULT_HORIZONS=6,18,36,72"),
    "BINANCE_API_URL": ("api.binance.com", "write an address such as https://"),
    "SUPPORTED_SYMBOLS": ("btc-usdt", "write symbols such as"),
    "CORS_ORIGINS": ("localhost", "write origins such as"),
    "ALLOWED_HOSTS": ("https://signals.example.com", "write names such as"),
    "TRUSTED_PROXY": ("10.0.0.0/99", "write networks such as"),
    "DEBUG": ("perhaps", "DEBUG=true or DEBUG=false"),
    "LOG_LEVEL": ("LOUD", "write one of DEBUG"),
    "DATABASE_URL": ("mysql://root@127.0.0.1/x", "write postgres://"),
    "REDIS_URL": ("127.0.0.1:6379", "write an address such as rediss://"),
    "DASK_SCHEDULER": ("10.0.0.5:8786", "write an address such as tcp://"),
    "DEPLOYMENT": ("my engine:2", "for example DEPLOYMENT=mlengine"),
}


def run_check(tmp_path, *arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL", *BAD}}
    environment = {**kept, "MLENGINE_STATE_DIR": str(tmp_path), "MLENGINE_ENV_FILE": "", **environment}
    return run_script(settings.BASE_DIR / "manage.py", "check", *arguments, environment=environment)


def test_the_defaults_need_nothing(tmp_path):
    found = run_check(tmp_path)
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
def test_every_invalid_setting_is_reported_with_advice(tmp_path):
    found = run_check(tmp_path, **{name: value for name, (value, _) in BAD.items()})
    assert found.returncode == 1
    for name, (_, words) in BAD.items():
        assert name in found.stderr
        assert words in found.stderr
    assert "Traceback" not in found.stderr


def test_addresses_that_cannot_be_split_are_named(tmp_path):
    """The standard library raises for an open bracket and for an invalid port."""
    bad = {
        "REDIS_URL": "redis://[::1/0",
        "DATABASE_URL": "postgres://engine:secret@[::1/engine",
        "BINANCE_API_URL": "http://127.0.0.1:99999",
        "BINANCE_STREAM_URL": "ws://127.0.0.1:port",
        "CORS_ORIGINS": "http://[::1",
    }
    found = run_check(tmp_path, **bad)
    assert found.returncode == 1
    for name in bad:
        assert f"{name} " in found.stderr, found.stderr
    assert "Traceback" not in found.stderr


def test_production_refuses_what_is_unsafe(tmp_path):
    found = run_check(tmp_path, REDIS_URL="redis://127.0.0.1:6379/15", API_KEY="short", DEBUG="true")
    assert found.returncode == 1
    for words in ("SECRET_KEY is missing", "API_KEY has 5 characters", "DEBUG is on"):
        assert words in found.stderr


@pytest.mark.parametrize("database", ["/0/1", "/first", "?db=3", "/1?db=3"])
def test_a_database_of_redis_is_a_number_in_the_path(tmp_path, database):
    """Cache and broker read other forms differently, and the prefix of an engine's names depends on it."""
    found = run_check(tmp_path, REDIS_URL=f"redis://127.0.0.1:6379{database}", SECRET_KEY="s" * 50)
    assert found.returncode == 1
    assert "redis://host:6379/0" in found.stderr


def test_check_deploy_applies_the_production_rules_without_redis(tmp_path):
    found = run_check(tmp_path, "--deploy", API_KEY="short")
    assert found.returncode == 1
    assert "SECRET_KEY is missing" in found.stderr


def test_stored_secrets_are_generated_once_for_the_owner_only(tmp_path):
    run_check(tmp_path)
    pepper = tmp_path / "api_key_pepper"
    assert pepper.stat().st_mode & 0o777 == 0o600
    first = pepper.read_text()
    run_check(tmp_path)
    assert pepper.read_text() == first
    assert len(first) >= 32


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-c", "import mlengine_project.asgi"], "REDIS_URL is not set"),
        (["-m", "celery", "-A", "mlengine_project", "beat"], "REDIS_URL is not set"),
        (["-m", "celery", "-A", "mlengine_project", "worker", "--pool", "solo"], "REDIS_URL is not set"),
        (["manage.py", "stream_candles"], "needs REDIS_URL"),
    ],
    ids=["asgi", "beat", "worker", "stream"],
)
def test_a_process_started_alone_without_redis_ends_with_one_sentence(tmp_path, arguments, sentence):
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    environment = {
        **kept,
        "MLENGINE_STATE_DIR": str(tmp_path),
        "MLENGINE_ENV_FILE": "",
        "DJANGO_SETTINGS_MODULE": "mlengine_project.settings",
    }
    found = subprocess.run(
        [sys.executable, *arguments],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert found.returncode == 1
    assert sentence in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1, "one sentence"
    assert "Traceback" not in found.stderr


def test_ineffective_values_are_warned_of(tmp_path):
    found = run_check(tmp_path, ALLOWED_HOSTS="ml_engine", TRUSTED_PROXY="unix,fd00::/8,0.0.0.0/0")
    assert found.returncode == 0, found.stderr
    assert "no host name carries an underscore" in found.stderr
    assert "lets every client choose its address" in found.stderr


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("EXTRA_FEATURES", "nowhere.features", "nowhere.features cannot be imported"),
        ("EXTRA_FEATURES", "tests.indicators.features.test_feature_set.taken", "the name of another feature"),
        ("EXTRA_ESTIMATORS", "tests.modelregistry.extra_estimators.Incomplete", "lacks fit, predict"),
    ],
)
def test_features_and_estimators_that_cannot_be_used_are_errors(tmp_path, setting, value, sentence):
    found = run_check(tmp_path, **{setting: value})
    assert found.returncode == 1
    assert f"{setting}: " in found.stderr
    assert sentence in found.stderr
    assert "Traceback" not in found.stderr


def test_features_and_estimators_that_can_be_used_are_none(tmp_path):
    found = run_check(
        tmp_path,
        EXTRA_FEATURES="tests.indicators.features.test_feature_set.drift",
        EXTRA_ESTIMATORS="tests.modelregistry.extra_estimators.ConstantRange",
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_champion_without_its_features_is_an_error_also_inside_an_event_loop(tmp_path, settings, monkeypatch):
    """A web server runs the checks inside its loop, where Django allows no query."""
    settings.MODEL_PATH = tmp_path / "models"
    version = champions.candidate()
    registry.bootstrap(version, "tests", "a first champion")
    monkeypatch.setattr(feature_set, "_installed", FeatureSet())
    monkeypatch.setitem(vars(feature_set._installed), "names", FEATURE_NAMES[1:])

    async def inside():
        return checks.extensions_are_usable()

    outside = [message.msg for message in checks.extensions_are_usable()]
    assert "reads volatility_level, which this installation does not compute" in outside[0]
    assert [message.msg for message in asyncio.run(inside())] == outside


def test_a_horizon_above_a_day_is_refused(settings):
    settings.DEFAULT_HORIZONS = [12, 288]
    assert checks.settings_are_valid() == []
    settings.DEFAULT_HORIZONS = [12, 289, 576]
    assert [message.msg.partition(";")[0] for message in checks.settings_are_valid()] == [
        "DEFAULT_HORIZONS holds 289",
        "DEFAULT_HORIZONS holds 576",
    ]
