"""Kill switch of operators: while signals are off, every signal is a hold."""

from marketdata.models import Market
from signals.models import SignalSwitch

ALL = ""
"""Symbol of the switch of all markets."""


def set_switch(symbol: str, *, off: bool, reason: str, actor: str) -> SignalSwitch:
    """Switch the signals of one symbol, or of all with an empty one, off or on."""
    switch, _ = SignalSwitch.objects.update_or_create(
        symbol=symbol, defaults={"off": off, "reason": reason[:300], "changed_by": actor[:150]}
    )
    return switch


def held_symbols() -> dict[str, str]:
    """Symbols switched off, with the reason; `ALL` stands for every market."""
    return dict(SignalSwitch.objects.filter(off=True).values_list("symbol", "reason"))


def hold_reason(market: Market, held: dict[str, str]) -> str | None:
    """Reason of the operator if this market is switched off, else None."""
    reason = held.get(market.symbol, held.get(ALL))
    return None if reason is None else reason or "no reason was given"
