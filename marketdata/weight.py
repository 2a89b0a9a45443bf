"""How much may be asked of the exchange, and when: one budget and one ban for all processes of this address."""

from django.db import connection, transaction
from django.db.models import QuerySet

from marketdata import clock
from marketdata.errors import ExchangeBanned
from marketdata.models import ExchangeState

SHARE = 0.5
"""Part of the exchange's limit this engine uses at most; the rest is for whoever else shares the address."""
MINUTE_MS = 60_000
LONGEST_BAN_MS = 3 * 24 * 3600 * 1000
"""No exchange bans for longer; a row that ends later was written before the clock was set back."""
_OF_THIS_MINUTE = "(weight_seen_at >= %s AND weight_seen_at < %s)"


class _Heard:
    """The ban this process was told of itself: the database may be away at that very moment."""

    until_ms = 0


def reserve(weight: int, share: float = SHARE) -> float:
    """Take weight from this minute's budget; 0, or the seconds to wait before asking again.

    Raises
    ------
    ExchangeBanned
        While the exchange wants silence; nothing may be sent.
    """
    now = clock.wall_ms()
    if not is_ban(_Heard.until_ms, now) and _is_granted(weight, share, now):
        return 0.0
    with transaction.atomic():
        state = _locked_state()
        _tell_all(state)
        is_silent = is_ban(state.banned_until_ms, now)
        if not is_silent:
            used = _used_this_minute(state, now)
            if used and used + weight > state.weight_limit * share:
                return (MINUTE_MS - now % MINUTE_MS) / 1000
            _keep(used + weight)
    if is_silent:  # raised here: inside, what was told would be rolled back
        raise ExchangeBanned(state.banned_until_ms or 0)
    return 0.0


def _is_granted(weight: int, share: float, now: int) -> bool:
    """Take it in one statement, as nearly every time; where that fails, it takes a closer look to say why."""
    seen = _stamps(now)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE exchange_state SET weight_seen_at = %s, "  # noqa: S608
            f"used_weight = CASE WHEN {_OF_THIS_MINUTE} THEN used_weight ELSE 0 END + %s "
            "WHERE id = 1 AND (banned_until_ms IS NULL OR banned_until_ms <= %s OR banned_until_ms > %s) "
            f"AND (weight_seen_at IS NULL OR NOT {_OF_THIS_MINUTE} OR used_weight = 0 "
            "OR used_weight + %s <= weight_limit * %s)",
            [*seen, weight, now, now + LONGEST_BAN_MS, *seen[1:], weight, share],
        )
        return bool(cursor.rowcount)


def _stamps(now: int) -> list[str | None]:
    """Instants: now, and the beginning and end of its minute, as the database writes instants."""
    begin = now // MINUTE_MS * MINUTE_MS
    instants = (clock.to_datetime(at) for at in (now, begin, begin + MINUTE_MS))
    return [connection.ops.adapt_datetimefield_value(instant) for instant in instants]


def observe(used: int | None) -> None:
    """Believe the exchange where it counted more than we did."""
    if used is None:
        return
    now = clock.wall_ms()
    seen = _stamps(now)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE exchange_state SET weight_seen_at = %s, used_weight = %s "  # noqa: S608
            f"WHERE id = 1 AND (weight_seen_at IS NULL OR NOT {_OF_THIS_MINUTE} OR used_weight < %s)",
            [seen[0], used, *seen[1:], used],
        )


def ban(until_ms: int) -> None:
    """Remember, across restarts and for all processes, to be silent until then (wall time)."""
    now = clock.wall_ms()
    known = _Heard.until_ms if is_ban(_Heard.until_ms, now) else 0
    _Heard.until_ms = max(min(until_ms, now + LONGEST_BAN_MS), known)
    with transaction.atomic():
        _tell_all(_locked_state())


def silence() -> ExchangeBanned | None:
    """Tell, between two requests already paid for, whether any process has been told to be silent."""
    until = banned_until()
    return None if until is None else ExchangeBanned(until)


def forget() -> None:
    """Drop what this process alone was told, as a new one would not know it."""
    _Heard.until_ms = 0


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
    stored = ExchangeState.objects.filter(pk=1).values_list("banned_until_ms", flat=True).first()
    until = _banned_until(stored)
    return until if is_ban(until, clock.wall_ms()) else None


def is_ban(until_ms: int | None, now: int) -> bool:
    """Whether silence until then is still to be kept."""
    return until_ms is not None and now < until_ms <= now + LONGEST_BAN_MS


def _banned_until(stored: int | None) -> int:
    now = clock.wall_ms()
    return max((until for until in (stored, _Heard.until_ms) if until and is_ban(until, now)), default=0)


def _tell_all(state: ExchangeState) -> None:
    """Write down what this process was told, where nobody has yet."""
    until = _banned_until(state.banned_until_ms)
    if until and until != state.banned_until_ms:
        state.banned_until_ms = until
        state.save(update_fields=["banned_until_ms"])


def _locked_state() -> ExchangeState:
    locked = ExchangeState.objects.select_for_update().filter(pk=1)
    return locked.first() or _begun(locked)


def _begun(locked: QuerySet[ExchangeState]) -> ExchangeState:
    """Make the one row, or find that somebody else has."""
    ExchangeState.objects.get_or_create(pk=1)
    return locked.get()


def _used_this_minute(state: ExchangeState, now: int) -> int:
    if state.weight_seen_at is None:
        return 0
    seen = clock.to_ms(state.weight_seen_at)
    return state.used_weight if seen // MINUTE_MS == now // MINUTE_MS else 0


def _keep(used: int) -> None:
    ExchangeState.objects.filter(pk=1).update(used_weight=used, weight_seen_at=clock.wall_now())
