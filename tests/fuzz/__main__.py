"""Fuzzing of the REST API: requests from the schema, and pairs with and without the fast road.

    uv run python -m tests.fuzz --requests 10000 --json
    uv run python -m tests.fuzz --pairs 5000 --json

The exit status is 1 if an answer was wrong.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest  # noqa: F401  # importing it selects the settings of tests

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")
os.environ.setdefault("MLENGINE_ENV_FILE", "")
os.environ.setdefault("MLENGINE_STATE_DIR", tempfile.mkdtemp(prefix="fuzz-"))


def main() -> int:
    """Run the requested parts and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Requests by the schema and in pairs.")
    parser.add_argument("--requests", type=int, default=0, help="requests made from the schema")
    parser.add_argument("--pairs", type=int, default=0, help="requests sent with the fast road and without it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    options = parser.parse_args()
    if not options.requests and not options.pairs:
        parser.error("write --requests or --pairs")
    import django

    django.setup()
    logging.disable(logging.CRITICAL)  # every request has a line
    from django.test.utils import setup_databases, teardown_databases

    made = setup_databases(verbosity=0, interactive=False)
    try:
        figures = run(options.requests, options.pairs, options.seed)
    finally:
        teardown_databases(made, verbosity=0)
    print(json.dumps(figures, indent=2) if options.json else figure_lines(figures))
    return 1 if any(part["failures"] for part in figures.values()) else 0


def run(n_requests: int, n_pairs: int, seed: int) -> dict[str, Any]:
    """Run both parts, each with its own engine rows."""
    from mlengine_project.http.schema import openapi_document
    from tests.fuzz.engine import engine_with_champions, served_engine
    from tests.fuzz.roads import compare
    from tests.fuzz.surface import attack

    figures: dict[str, Any] = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        if n_requests:
            with served_engine(Path(folder)) as engine:
                outcome = attack(engine, openapi_document(), n_requests, seed)
            figures["requests"] = {
                "sent": outcome.n_sent,
                "by": dict(sorted(outcome.sent.items())),
                "statuses": dict(sorted(outcome.statuses.items())),
                "seconds": round(time.monotonic() - started, 1),
                "failures": outcome.failures,
            }
        if n_pairs:
            from django.core.management import call_command

            call_command("flush", verbosity=0, interactive=False)
            started = time.monotonic()
            with engine_with_champions(Path(folder)) as keys:
                pairs = compare(keys, n_pairs, seed)
            figures["pairs"] = {
                "sent": pairs.n_pairs,
                "by_the_fast_road": pairs.n_fast,
                "directly_by_an_action": pairs.n_direct,
                "statuses": dict(sorted(pairs.statuses.items())),
                "seconds": round(time.monotonic() - started, 1),
                "failures": pairs.differences,
            }
    return figures


def figure_lines(figures: dict[str, Any]) -> str:
    """The figures as lines."""
    lines = []
    for name, part in figures.items():
        lines.append(f"{name}: {part['sent']} in {part['seconds']} s, statuses {part['statuses']}")
        lines += [f"  {what}\n    {example}" for what, example in part["failures"].items()]
        lines += [] if part["failures"] else ["  every answer as specified"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
