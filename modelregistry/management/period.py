"""Period of candles that a command scores, as options of the command line."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from marketdata.management.instants import instant


def add_period(parser: CommandParser) -> None:
    """Add the options of the period and of its stride."""
    parser.add_argument(
        "--from", dest="from_time", type=instant, required=True, help="first candle scored: ISO 8601 (UTC) or ms"
    )
    parser.add_argument(
        "--until",
        "--to",
        dest="until_time",
        type=instant,
        required=True,
        help="end of the period, exclusive; label windows end before it",
    )
    parser.add_argument("--stride", type=int, default=1, help="score every n-th candle only")


def check_period(options: dict[str, Any]) -> None:
    """Raise CommandError unless the period has a length and the stride is positive."""
    if options["from_time"] >= options["until_time"]:
        raise CommandError("--from must be before --to or --until")
    if options["stride"] < 1:
        raise CommandError("--stride must be at least 1")
