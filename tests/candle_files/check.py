"""Check that one file is imported exactly or refused with a position."""

import re
from pathlib import Path

from django.db import transaction

from marketdata.errors import MarketDataError
from marketdata.files import importing
from marketdata.models import Candle
from tests.candle_files.plans import Plan, Row
from tests.candle_files.writers import SYMBOL, adjusted, write

FIELDS = ("open_time", "open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")  # fmt: skip
PLACE = re.compile(
    r"\b(line|row) [1-9][0-9]*\b|\b(open_time|open|high|low|close|volume|close_time|quote_volume|trades|taker_buy_\w+)\b"
    r"|corrupt or does not match its extension|names another symbol|holds no candle|has no header|CSV files"
)
"""A line, a row or a column, or the fault of a file that cannot be opened or is named wrongly."""


class Difference(AssertionError):
    """A file that was not stored as written, or was refused without a position."""


def check(plan: Plan, folder: Path) -> str:
    """Import the file of a plan and roll back; returns "imported" or "refused".

    Raises
    ------
    Difference
        If stored and written values differ, or a refusal names no position.
    """
    plan = adjusted(plan)
    path, written_rows = write(plan, folder)
    try:
        with transaction.atomic():
            done = importing.import_file(path, "exchange", utc=plan.times == "zoneless" and plan.place % 2 == 0)
            stored = list(Candle.objects.filter(market=done.market).order_by("open_time").values_list(*FIELDS))
            transaction.set_rollback(True)
    except MarketDataError as error:
        if PLACE.search(str(error).replace(path.name, "")) is None:
            raise Difference(f"refused without a place: {error}") from error
        return "refused"
    finally:
        path.unlink()
    compare(plan, stored, written_rows, done)
    return "imported"


def compare(plan: Plan, stored: list[tuple], written_rows: list[Row], done: importing.Imported) -> None:
    """Check that the stored candles are those of the file, without rows counted as off the grid."""
    expected = [(row.open_time, *row.prices, row.volume, *(row.flows or (None,) * 4)) for row in written_rows]
    # A text that was cut between two lines is a valid shorter file.
    # A row off the grid by milliseconds comes from the exchange, after a halt: it is counted and not stored.
    shorter = plan.damage == "cut file" or (plan.damage == "off the grid" and done.off_grid == 1)
    wanted = [row for row in expected if row in stored] if shorter else expected
    if len(wanted) != len(expected) - done.off_grid and plan.damage != "cut file":
        raise Difference(f"{done.off_grid} rows counted as off the grid, {len(wanted)} of {len(expected)} stored")
    if stored != sorted(wanted):
        raise Difference(f"stored {stored} for {expected}")
    if "column" in plan.extras and plan.header != "none" and "sma_20" not in done.ignored:
        raise Difference(f"an ignored column is not named: {done.ignored}")
    if plan.times == "zoneless" and plan.place % 2:
        raise Difference("times without a zone were imported without --utc")


__all__ = ["SYMBOL", "Difference", "check"]
