"""Benchmark of the admin's list of predictions: a long table beside a short one on PostgreSQL.

    uv run python -m benchmarks.admin_lists --json [--rows 10000 10000000] [--rounds 7] [--database URL]

Each size has a database of its own, created on the server of ``--database`` (by default DATABASE_URL, else
postgres://postgres@127.0.0.1:5432/postgres), filled by the server itself and dropped afterwards: predictions of a
hundred markets and four horizons as far back as the rows reach, the newest without outcome. Each page is requested as a
signed-in person requests it, in this process. The last line is one JSON object: median milliseconds of each page, and
of its slowest statement, by number of rows.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent
SERVER = "postgres://postgres@127.0.0.1:5432/postgres"
N_MARKETS = 100
LIST = "/admin/predictions/predictionlog/"
FILL = f"""
INSERT INTO ml.prediction_logs (
    id, market_id, symbol, horizon, candle_time, ensemble, model_versions, made_at, valid_until, late, current_price,
    predicted_high, predicted_low, high_quantiles, low_quantiles, coverage, data_age_seconds, degraded, reasons,
    reason_details, simulated, chain_index, seal, previous_seal, created_at, actual_high, actual_low, mae,
    outcome_final)
SELECT gen_random_uuid(), markets.id, markets.symbol, (ARRAY[6, 18, 36, 72])[1 + n %% 4], at, repeat('e', 64), '{{}}',
    at + interval '301 s', at + interval '615 s', false, 100, 101, 99, '["99", "100", "101"]', '["98", "99", "100"]',
    '[]', 1, n %% 5000 = 0, '[]', '{{}}', false, n / {4 * N_MARKETS} * 4 + n %% 4, md5(n::text) || md5(n::text),
    repeat('0', 64), at,
    CASE WHEN is_due THEN 101 END, CASE WHEN is_due THEN 99 END, CASE WHEN is_due THEN 0.5 END, is_due
FROM generate_series(0, %s - 1) AS n
JOIN ml.markets ON markets.id = 1 + n / 4 %% {N_MARKETS},
LATERAL (SELECT timestamptz '2024-12-31 23:55Z' - interval '5 min' * (n / {4 * N_MARKETS}) AS at) AS times,
LATERAL (SELECT n / {4 * N_MARKETS} > 72 AS is_due) AS due
"""  # noqa: S608


@contextlib.contextmanager
def database(server_url: str, n_rows: int) -> Iterator[str]:
    """A migrated database with so many predictions, dropped at the end."""
    name = f"admin_lists_{os.getpid()}_{n_rows}"
    url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            environment = {**os.environ, "DATABASE_URL": url}
            subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
            with psycopg.connect(url, autocommit=True) as connection:
                fill(connection, n_rows)
            yield url
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def fill(connection: psycopg.Connection, n_rows: int) -> None:
    """Insert markets and predictions; indexes are built afterwards, as that is several times as fast."""
    connection.execute("SET maintenance_work_mem = '512MB'")
    connection.execute(
        "INSERT INTO ml.markets (id, symbol, interval, source, enabled, status, trading, created_at) "
        "SELECT n, 'M' || n || 'USDT', '5m', 'exchange', true, '', '', now() FROM generate_series(1, %s) AS n",
        [N_MARKETS],
    )
    constraints = connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'ml.prediction_logs'::regclass AND contype IN ('p', 'u', 'f') ORDER BY contype = 'f'"
    ).fetchall()
    for name, _ in constraints:
        connection.execute(f'ALTER TABLE ml.prediction_logs DROP CONSTRAINT "{name}"')
    indexes = connection.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
        "WHERE indrelid = 'ml.prediction_logs'::regclass"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    connection.execute("ALTER TABLE ml.prediction_logs SET UNLOGGED")
    connection.execute(FILL, [n_rows])
    for _, definition in indexes:
        connection.execute(definition)
    for name, definition in constraints:
        connection.execute(f'ALTER TABLE ml.prediction_logs ADD CONSTRAINT "{name}" {definition}')
    connection.execute("VACUUM ANALYZE ml.prediction_logs")


def measure(url: str, rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of each page and of its slowest statement, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.admin_lists", "--measure", "--rounds", str(rounds)]
    environment = {**os.environ, "DATABASE_URL": url, "ALLOWED_HOSTS": "testserver", "LOG_LEVEL": "ERROR"}
    output = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def measure_here(rounds: int) -> dict[str, dict[str, float]]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from predictions.models import PredictionLog

    client = Client()
    client.force_login(User.objects.create_superuser("bench"))
    some = PredictionLog.objects.order_by("candle_time").first()
    pages = {
        "list": "",
        "page 100": "?p=100",
        "one symbol": "?q=M7USDT",
        "unknown symbol": "?q=NOPE",
        "one id": f"?q={some.pk}",
        "one horizon": "?horizon=18",
        "degraded": "?state=degraded",
        "late (none)": "?state=late",
        "not final": "?state=open",
        "one row": f"{some.pk}/change/",
    }
    found = {}
    for name, query in pages.items():
        times, slowest = [], []
        for _ in range(rounds):
            with CaptureQueriesContext(connection) as queries:
                begin = time.perf_counter()
                response = client.get(LIST + query)
                times.append(1000 * (time.perf_counter() - begin))
            assert response.status_code == 200, (name, response.status_code)
            slowest.append(1000 * max(float(query["time"]) for query in queries.captured_queries))
        found[name] = {
            "page_ms": round(statistics.median(times), 1),
            "statement_ms": round(statistics.median(slowest), 1),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the JSON object only")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL") or SERVER)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure_here(options.rounds)))
        return
    results: dict[str, dict[str, dict[str, float]]] = {}
    for n_rows in options.rows:
        with database(options.database, n_rows) as url:
            results[str(n_rows)] = measure(url, options.rounds)
    if not options.json:
        for name in results[str(options.rows[0])]:
            row = "   ".join(f"{results[str(n)][name]['page_ms']:9.1f} ms" for n in options.rows)
            print(f"{name:16} {row}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
