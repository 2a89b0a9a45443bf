"""Request weight budget and bans, shared by all processes of this address."""

from django.db import connection, transaction
from django.db.models import QuerySet

from marketdata import clock
from marketdata.errors import ExchangeBanned
from marketdata.models import ExchangeState
from marketdata.process_state import process_state

SHARE = 0.5
"""Maximum share of the exchange's limit for this engine; the rest is for other programs at the address."""
MINUTE_MS = 60_000
MAX_BAN_MS = 3 * 24 * 3600 * 1000
"""Maximum length of a ban; a row that ends later was written before the clock was set back."""
_OF_THIS_MINUTE = "(weight_seen_at >= %s AND weight_seen_at < %s)"


class LocalBan:
    """The ban received by this process itself, in case the database is not available then."""

    until_ms = 0


def reserve(weight: int) -> float:
    """Reserve weight from this minute's budget; 0, or the seconds to wait before trying again.

    Raises
    ------
    ExchangeBanned
        While a ban is active; nothing may be sent.
    """
    now = clock.wall_ms()
    if not is_ban(process_state.of(LocalBan).until_ms, now) and _is_granted(weight, now):
        return 0.0
    with transaction.atomic():
        state = _locked_state()
        _share_ban(state)
        is_banned = is_ban(state.banned_until_ms, now)
        if not is_banned:
            used = _used_this_minute(state, now)
            if used and used + weight > state.weight_limit * SHARE:
                return (MINUTE_MS - now % MINUTE_MS) / 1000
            _save_used(used + weight)
    if is_banned:  # raised here: inside, the shared ban would be rolled back
        raise ExchangeBanned(state.banned_until_ms or 0)
    return 0.0


def _is_granted(weight: int, now: int) -> bool:
    """Try to reserve in one statement; if that fails, the caller determines the reason."""
    seen = _stamps(now)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE exchange_state SET weight_seen_at = %s, "  # noqa: S608
            f"used_weight = CASE WHEN {_OF_THIS_MINUTE} THEN used_weight ELSE 0 END + %s "
            "WHERE id = 1 AND (banned_until_ms IS NULL OR banned_until_ms <= %s OR banned_until_ms > %s) "
            f"AND (weight_seen_at IS NULL OR NOT {_OF_THIS_MINUTE} OR used_weight = 0 "
            "OR used_weight + %s <= weight_limit * %s)",
            [*seen, weight, now, now + MAX_BAN_MS, *seen[1:], weight, SHARE],
        )
        return bool(cursor.rowcount)


def _stamps(now: int) -> list[str | None]:
    """Now, and the beginning and end of its minute, as database values."""
    begin = now // MINUTE_MS * MINUTE_MS
    instants = (clock.to_datetime(at) for at in (now, begin, begin + MINUTE_MS))
    return [connection.ops.adapt_datetimefield_value(instant) for instant in instants]


def observe(used: int | None) -> None:
    """Store the exchange's own count of used weight if it is higher."""
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
    """Store a ban until `until_ms` (wall time) for all processes and across restarts."""
    now = clock.wall_ms()
    known = process_state.of(LocalBan).until_ms if is_ban(process_state.of(LocalBan).until_ms, now) else 0
    process_state.of(LocalBan).until_ms = max(min(until_ms, now + MAX_BAN_MS), known)
    with transaction.atomic():
        _share_ban(_locked_state())


def active_ban() -> ExchangeBanned | None:
    """The active ban of any process, to be checked between requests with reserved weight."""
    until = banned_until()
    return None if until is None else ExchangeBanned(until)


def set_limit(limit: int) -> None:
    """Store the limit published by the exchange."""
    with transaction.atomic():
        state = _locked_state()
        state.weight_limit = limit
        state.save(update_fields=["weight_limit"])


def limit() -> int:
    """The exchange's weight limit per minute, or its default if not known."""
    state = ExchangeState.objects.filter(pk=1).first() or ExchangeState()
    return state.weight_limit


def banned_until() -> int | None:
    """End of the active ban (wall time, ms), None without one."""
    stored = ExchangeState.objects.filter(pk=1).values_list("banned_until_ms", flat=True).first()
    until = _banned_until(stored)
    return until if is_ban(until, clock.wall_ms()) else None


def is_ban(until_ms: int | None, now: int) -> bool:
    """Whether a ban until `until_ms` is still active."""
    return until_ms is not None and now < until_ms <= now + MAX_BAN_MS


def _banned_until(stored: int | None) -> int:
    now = clock.wall_ms()
    return max(
        (until for until in (stored, process_state.of(LocalBan).until_ms) if until and is_ban(until, now)), default=0
    )


def _share_ban(state: ExchangeState) -> None:
    """Store the ban received by this process if it is not stored yet."""
    until = _banned_until(state.banned_until_ms)
    if until and until != state.banned_until_ms:
        state.banned_until_ms = until
        state.save(update_fields=["banned_until_ms"])


def _locked_state() -> ExchangeState:
    locked = ExchangeState.objects.select_for_update().filter(pk=1)
    return locked.first() or _created(locked)


def _created(locked: QuerySet[ExchangeState]) -> ExchangeState:
    """Create the single row, unless another process has."""
    ExchangeState.objects.get_or_create(pk=1)
    return locked.get()


def _used_this_minute(state: ExchangeState, now: int) -> int:
    if state.weight_seen_at is None:
        return 0
    seen = clock.to_ms(state.weight_seen_at)
    return state.used_weight if seen // MINUTE_MS == now // MINUTE_MS else 0


def _save_used(used: int) -> None:
    ExchangeState.objects.filter(pk=1).update(used_weight=used, weight_seen_at=clock.wall_now())
