"""One of several processes that advance the same candle at the same time.

``python -m tests.flows.crowd prepare`` creates markets, candles and champions in an empty database;
``python -m tests.flows.crowd advance`` runs ten advances at once and prints what they sent.
"""

import json
import os
import sys
import threading

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")

THREADS = 10


def prepare():
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from tests.champions import bootstrap_champions, make_markets

    make_markets()
    bootstrap_champions()


def advance():
    from django.db import connections

    from marketdata import clock
    from modelregistry import registry
    from signals import services
    from tests.champions import BEGIN, STEP, at_close_of

    registry.load_ensemble("simulated")
    print("ready", flush=True)
    sys.stdin.readline()
    barrier = threading.Barrier(THREADS)
    reports, failures = [], []

    def one():
        barrier.wait()
        try:
            reports.append(services.advance())
        except Exception as error:
            failures.append(repr(error))
        finally:
            connections.close_all()

    with clock.use(at_close_of(BEGIN - STEP)):
        threads = [threading.Thread(target=one) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    output = {"signals": sum(r.signals for r in reports), "sent": sum(r.sent for r in reports), "failures": failures}
    print(json.dumps(output), flush=True)


if __name__ == "__main__":
    import django

    django.setup()
    {"prepare": prepare, "advance": advance}[sys.argv[1]]()
