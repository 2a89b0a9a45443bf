"""The operator's kill switch: while it is on, every signal is a hold."""

from marketdata.models import Market
from signals.models import SignalSwitch

ALL = ""
"""The switch that holds every market."""


def set_switch(symbol: str, *, off: bool, reason: str, actor: str) -> SignalSwitch:
    """Hold the signals of one symbol (or of all, with an empty one), or let them flow again."""
    switch, _ = SignalSwitch.objects.update_or_create(
        symbol=symbol, defaults={"off": off, "reason": reason[:300], "changed_by": actor[:150]}
    )
    return switch


def held_symbols() -> dict[str, str]:
    """Symbols whose signals are held (`ALL` among them for every market), with the operator's reason."""
    return dict(SignalSwitch.objects.filter(off=True).values_list("symbol", "reason"))


def hold_reason(market: Market, held: dict[str, str]) -> str | None:
    """The operator's words if this market's signals are held, else None."""
    said = held.get(market.symbol, held.get(ALL))
    return None if said is None else said or "no reason was given"
