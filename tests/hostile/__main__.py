"""Fuzz test of the feed with invalid websocket messages and REST responses.

    uv run python -m tests.hostile --count 10000 --json [--seed 1]

A server on loopback sends them over a real websocket and as real responses, with valid candles among them; the engine
stores into a temporary SQLite file. The last line is one JSON object: how many were generated, quarantined with a
reason, stored (should be 0), stopped the feed (0) or are unaccounted for (0), with `by_form` for each form.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time

NOW = 1_735_689_600_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    parser.add_argument("--count", type=int, default=10_000, help="of all forms together, at least")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as state:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "mlengine_project.settings", "MLENGINE_STATE_DIR": state}
        os.environ |= {"DATABASE_URL": "", "REDIS_URL": "", "MLENGINE_ENV_FILE": ""}
        import django
        import structlog
        from django.conf import settings
        from django.core.management import call_command
        from django.db import connection

        django.setup()
        logging.disable(logging.ERROR)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        call_command("migrate", verbosity=0)
        from tests.hostile import forms
        from tests.hostile.exchange import HostileExchange
        from tests.hostile.run import run

        n_forms = len(forms.of_messages()) + len(forms.of_frames()) + len(forms.of_rows()) + len(forms.of_pages())
        n_forms += len(forms.of_bodies()) - 2 * len(forms.RARE)
        with HostileExchange(NOW) as exchange:
            settings.BINANCE_API_URL = f"http://127.0.0.1:{exchange.port}"
            settings.BINANCE_STREAM_URL = f"ws://127.0.0.1:{exchange.port}"
            summary, by_form = run(exchange, -(-options.count // n_forms), options.seed)
        connection.close()
    summary |= {"seed": options.seed, "seconds": round(time.monotonic() - begun, 1), "by_form": by_form}
    print(json.dumps(summary))
    names = ("unaccounted", "without_reason", "stored", "stopped", "right_candles_lost")
    return 1 if any(summary[name] for name in names) else 0


if __name__ == "__main__":
    sys.exit(main())
