"""Script for `manage.py shell` of version 0.1 that creates an installation and prints its contents.

Its imports are those of that version and stay as they are.
"""

import json
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from mlengine_project.schedule import install_schedule

from indicators.features import WARMUP
from marketdata import clock, services
from marketdata.simulator import SimulatedExchange
from mlengine_project import feeds
from mlengine_project.access.services import create_key
from mlengine_project.operations.models import Job
from predictions.models import PredictionLog
from signals import services as signals
from signals.models import SignalLog
from signals.tasks import score_outcomes
from tests.champions import BEGIN, STEP, SYMBOLS, crown

CLOSES = 8
"""More than the shortest horizon, so that some outcomes are scored."""

call_command("migrate", verbosity=0)
install_schedule()
PeriodicTask.objects.update(last_run_at=clock.wall_now() - timedelta(minutes=2))
edited = PeriodicTask.objects.get(name="score outcomes")
edited.crontab = CrontabSchedule.objects.create(minute="3-59/5", hour="*", timezone="UTC")
edited.save()
PeriodicTask.objects.filter(name="daily training").update(enabled=False)

with SimulatedExchange(SYMBOLS, seed=feeds.DEFAULT_SEED, speed=0, begin_at=BEGIN + 10_000) as exchange:
    settings.BINANCE_API_URL, settings.BINANCE_STREAM_URL = exchange.base_url, exchange.stream_url
    markets = services.seed_markets(SYMBOLS, "simulated")
    services.backfill(markets, BEGIN - (WARMUP + 50) * STEP, BEGIN)
    champions = crown()
    for _ in range(CLOSES):
        exchange.advance_to(exchange.now_ms() + STEP)
        clock.forget()
        signals.advance()
    score_outcomes()
    market_ms = exchange.now_ms()
feeds.record(
    feeds.Feed("simulator", speed=30.0, seed=feeds.DEFAULT_SEED, began_at_ms=clock.wall_ms(), market_ms=market_ms)
)

begin = clock.to_datetime(BEGIN - (WARMUP + 1_000) * STEP)  # older than what the feed itself fetches
job = Job.objects.create(
    kind="backfill",
    asked_by="an operator",
    arguments={"symbols": ["BTCUSDT"], "from": f"{begin:%Y-%m-%dT%H:%M:%SZ}"},
)
key, secret = create_key("a program", "predict")
browser = Client()
browser.force_login(get_user_model().objects.create_superuser("operator", password="a-word-of-the-operator"))

print()
print(
    json.dumps(
        {
            "champions": {kind: str(version.pk) for kind, version in champions.items()},
            "digests": {kind: version.digest for kind, version in champions.items()},
            "job": str(job.pk),
            "oldest": clock.to_ms(begin),
            "key": secret,
            "session": browser.cookies["sessionid"].value,
            "predictions": sorted(str(pk) for pk in PredictionLog.objects.values_list("pk", flat=True)),
            "signals": list(SignalLog.objects.order_by("symbol", "seq").values_list("symbol", "seq", "seal")),
        }
    )
)
