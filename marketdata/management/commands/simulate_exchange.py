"""Run a simulated exchange on this machine, for programs that expect Binance."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from indicators.errors import MLEngineError
from marketdata import clock
from marketdata.exchange.parsing import normal_symbol
from marketdata.management.instants import instant
from marketdata.simulator import FaultPlan, open_exchange

POLL_SECONDS = 0.5


class Command(BaseCommand):
    """Serve replayed or generated candles with Binance's REST and websocket interface on loopback."""

    help = "Serve a simulated Binance on this machine: recorded or generated candles, at any speed, with faults."
    # It uses no database.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add options for data, time, speed, address and faults."""
        parser.add_argument(
            "--data", nargs="+", type=Path, default=[], metavar="PATH", help="Files or folders to replay."
        )
        parser.add_argument(
            "--start", type=instant, help="Recorded time that becomes now (ISO or ms); earlier candles are history."
        )
        parser.add_argument(
            "--then-invent", action="store_true", help="Continue with generated candles where the files end."
        )
        parser.add_argument(
            "--symbols", default="", help="For example BTCUSDT,ETHUSDT; default: all files, or these two."
        )
        parser.add_argument("--seed", type=int, default=0, help="Seed of generated prices and random faults.")
        parser.add_argument(
            "--speed", type=float, default=1.0, help="Market seconds per second; 60 closes one every 5 s."
        )
        parser.add_argument("--host", default="127.0.0.1", help="A loopback address.")
        parser.add_argument("--port", type=int, default=9443, help="0 takes a free one.")
        parser.add_argument("--ledger", type=Path, help="Append every close to this file, one JSON object a line.")
        parser.add_argument("--faults", type=Path, help="A JSON list of faults; see docs/simulator.md.")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Serve until interrupted or, without --then-invent, until the files end."""
        try:
            exchange = open_exchange(
                paths=options["data"],
                symbols=[normal_symbol(symbol) for symbol in options["symbols"].replace(",", " ").split()],
                start_ms=options["start"],
                then_invent=options["then_invent"],
                seed=options["seed"],
                speed=options["speed"],
                faults=FaultPlan.from_file(options["faults"], options["seed"]) if options["faults"] else None,
                ledger_path=options["ledger"],
                host=options["host"],
                port=options["port"],
            ).start()
        except (MLEngineError, ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        # Set explicitly, because a shell that starts this in the background has SIGINT ignored.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            self.stdout.write(
                f"simulated prices of {', '.join(exchange.symbols)}\n"
                f"market time {clock.to_datetime(exchange.now_ms()).isoformat()}, speed {exchange.speed:g}\n"
                f"BINANCE_API_URL={exchange.base_url}\nBINANCE_STREAM_URL={exchange.stream_url}"
            )
            while not exchange.has_ended:
                exchange.join(POLL_SECONDS)
            self.stdout.write("the recorded candles have ended; the exchange keeps serving them until Ctrl-C")
            while True:
                exchange.join(POLL_SECONDS)
        except KeyboardInterrupt:
            self.stdout.write(
                f"\n{len(exchange.ledger)} entries in the ledger; highest weight {exchange.meter.highest_used}"
            )
        finally:
            exchange.stop()
