"""How much may be asked of the exchange, and when: one budget and one ban for all processes of this address."""

from django.db import transaction

from marketdata import clock
from marketdata.errors import ExchangeBanned
from marketdata.models import ExchangeState

SHARE = 0.5
"""Part of the exchange's limit this engine uses at most; the rest is for whoever else shares the address."""
MINUTE_MS = 60_000


def reserve(weight: int, share: float = SHARE) -> float:
    """Take weight from this minute's budget; 0, or the seconds to wait before asking again.

    Raises
    ------
    ExchangeBanned
        While the exchange wants silence; nothing may be sent.
    """
    now = clock.wall_ms()
    with transaction.atomic():
        state = _locked_state()
        if state.banned_until_ms is not None and now < state.banned_until_ms:
            raise ExchangeBanned(state.banned_until_ms)
        used = _used_this_minute(state, now)
        if used and used + weight > state.weight_limit * share:
            return (MINUTE_MS - now % MINUTE_MS) / 1000
        _keep(state, used + weight)
    return 0.0


def observe(used: int | None) -> None:
    """Believe the exchange where it counted more than we did."""
    if used is None:
        return
    with transaction.atomic():
        state = _locked_state()
        _keep(state, max(used, _used_this_minute(state, clock.wall_ms())))


def ban(until_ms: int) -> None:
    """Remember, across restarts and for all processes, to be silent until then (wall time)."""
    with transaction.atomic():
        state = _locked_state()
        state.banned_until_ms = max(until_ms, state.banned_until_ms or 0)
        state.save(update_fields=["banned_until_ms"])


def set_limit(limit: int) -> None:
    """Keep the limit the exchange published."""
    with transaction.atomic():
        state = _locked_state()
        state.weight_limit = limit
        state.save(update_fields=["weight_limit"])


def limit() -> int:
    """Weight a minute the exchange allows, as far as it is known."""
    state = ExchangeState.objects.filter(pk=1).first() or ExchangeState()
    return state.weight_limit


def banned_until() -> int | None:
    """Tell until when (wall time, ms) the exchange wants silence, None if it does not."""
    until = ExchangeState.objects.filter(pk=1).values_list("banned_until_ms", flat=True).first()
    return until if until is not None and until > clock.wall_ms() else None


def _locked_state() -> ExchangeState:
    ExchangeState.objects.get_or_create(pk=1)
    return ExchangeState.objects.select_for_update().get(pk=1)


def _used_this_minute(state: ExchangeState, now: int) -> int:
    if state.weight_seen_at is None:
        return 0
    seen = clock.to_ms(state.weight_seen_at)
    return state.used_weight if seen // MINUTE_MS == now // MINUTE_MS else 0


def _keep(state: ExchangeState, used: int) -> None:
    state.used_weight, state.weight_seen_at = used, clock.wall_now()
    state.save(update_fields=["used_weight", "weight_seen_at"])
