"""One written file through the import: stored to the last digit, or refused in a sentence that names the place."""

import re
from pathlib import Path

from django.db import transaction

from marketdata import importing
from marketdata.errors import MarketDataError
from marketdata.models import Candle
from tests.candle_files.plans import Plan, Row
from tests.candle_files.writers import SYMBOL, fitting, write

FIELDS = ("open_time", "open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")  # fmt: skip
PLACE = re.compile(
    r"\b(line|row) [1-9][0-9]*\b|\b(open_time|open|high|low|close|volume|close_time|quote_volume|trades|taker_buy_\w+)\b"
    r"|torn or not what its name says|names another symbol|holds no candle|has no header|CSV files"
)
"""A line, a row or a column; of a file that cannot be opened at all, or is named wrongly, that."""


class Difference(AssertionError):
    """A file that was stored otherwise than it was written, or refused without a place."""


def check(plan: Plan, folder: Path) -> str:
    """Import the file of a plan and take it out again; "imported" or "refused".

    Raises
    ------
    Difference
        If what is stored is not what the file says, or a refusal names no place.
    """
    plan = fitting(plan)
    path, says = write(plan, folder)
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
    compare(plan, stored, says, done)
    return "imported"


def compare(plan: Plan, stored: list[tuple], says: list[Row], done: importing.Imported) -> None:
    """Every stored candle is in the file, and every candle of the file is stored or counted as off the grid."""
    expected = [(row.open_time, *row.prices, row.volume, *(row.flows or (None,) * 4)) for row in says]
    # A text that was cut between two lines is a shorter file.
    # A row moved off the grid by milliseconds is one of the exchange's, from after a halt: counted and not stored.
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
