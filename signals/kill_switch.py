"""Kill switch of operators: while signals are off, every signal is a hold."""

from django.db import connection

from marketdata.models import Market
from signals.models import SignalSwitch

ALL = ""
"""Symbol of the switch of all markets."""


def set_switch(symbol: str, *, off: bool, reason: str, actor: str) -> SignalSwitch:
    """Switch signals off or on, of one symbol or, if empty, of all."""
    switch, _ = SignalSwitch.objects.update_or_create(
        symbol=symbol, defaults={"off": off, "reason": reason[:300], "changed_by": actor[:150]}
    )
    return switch


def switched_off_symbols() -> dict[str, str]:
    """Symbols switched off, with the reason; `ALL` stands for every market."""
    with connection.cursor() as cursor:  # at every close, where the ORM would cost more than the database
        cursor.execute("SELECT symbol, reason FROM signal_switches WHERE off")
        return dict(cursor.fetchall())


def hold_reason(market: Market, switched_off: dict[str, str]) -> str | None:
    """Reason of the operator if this market is switched off, else None."""
    reason = switched_off.get(market.symbol, switched_off.get(ALL))
    return None if reason is None else reason or "no reason was given"
