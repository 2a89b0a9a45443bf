"""Creation, rotation, revocation and verification of API keys."""

import threading
import uuid
from datetime import datetime, timedelta

import structlog
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.db.models import Q

from marketdata import clock
from mlengine_project.access.errors import InvalidAPIKey, KeyStoreUnavailable, TooManyWrongKeys
from mlengine_project.access.keys import BOOTSTRAP, Identity, digest_of, is_bootstrap, new_key
from mlengine_project.access.models import ApiKey, Scope
from mlengine_project.access.proxy import network_of
from mlengine_project.access.sliding_window import window
from mlengine_project.access.tickets import issue_ticket, redeem_ticket

__all__ = [
    "authenticate_key",
    "clear_verified",
    "count_wrong_key",
    "create_key",
    "ended_keys",
    "identify",
    "issue_ticket",
    "record_key_use",
    "redeem_ticket",
    "revoke_key",
    "rotate_key",
    "verified_identity",
    "was_verified",
]

VERIFIED_SECONDS = 55.0
"""How long a verified key is cached; a revoked one is refused everywhere within a minute."""
MAX_VERIFIED = 10_000
WRONG_KEYS_PER_MINUTE = 100
OVERLAP = timedelta(hours=24)
"""How long the old key stays valid after a rotation."""

log = structlog.get_logger(__name__)
_verified: dict[str, tuple[Identity, float]] = {}
_used: set[str] = set()
_lock = threading.Lock()


def create_key(name: str, scope: str = Scope.READ, *, expires_at: datetime | None = None) -> tuple[ApiKey, str]:
    """Create a key; the second value is the secret, available only now."""
    if scope not in Scope.values:
        raise ValidationError(f"scope must be one of {', '.join(Scope.values)}, got {scope!r}")
    if not (name := name.strip()):
        raise ValidationError("a key needs the name of its holder")
    new = new_key()
    key = ApiKey.objects.create(
        name=name[:100], prefix=new.prefix, digest=digest_of(new.secret), scope=scope, expires_at=expires_at
    )
    log.info("api_key_created", prefix=new.prefix, scope=scope)
    return key, new.secret


def rotate_key(key: ApiKey, *, overlap: timedelta = OVERLAP) -> tuple[ApiKey, str]:
    """Replace a key by one of the same holder and scope; both are valid during the overlap."""
    with transaction.atomic():
        successor, secret = create_key(key.name, key.scope)
        ends = clock.wall_now() + overlap
        key.expires_at = min(key.expires_at, ends) if key.expires_at else ends
        key.rotated_to = successor
        key.save(update_fields=["expires_at", "rotated_to"])
    clear_verified()
    return successor, secret


def revoke_key(key: ApiKey) -> ApiKey:
    """Revoke a key: here at once, in other processes within a minute."""
    if key.revoked_at is None:
        key.revoked_at = clock.wall_now()
        key.save(update_fields=["revoked_at"])
        log.info("api_key_revoked", prefix=key.prefix)
    clear_verified()
    return key


def clear_verified() -> None:
    """Clear the cache of verified keys."""
    with _lock:
        _verified.clear()


def verified_identity(secret: str) -> Identity | None:
    """The holder of a key verified within the last minute, without any I/O."""
    digest = digest_of(secret)
    if is_bootstrap(digest):
        return Identity(BOOTSTRAP, BOOTSTRAP, Scope.ADMIN)
    found = _verified.get(digest)
    if found is None or found[1] <= clock.monotonic():
        return None
    _used.add(found[0].key_id)
    return found[0]


def was_verified(secret: str) -> bool:
    """Whether the key was valid when it was last verified in this process."""
    return digest_of(secret) in _verified


def authenticate_key(secret: str) -> Identity | None:
    """The holder of a key, None for an unknown key; `KeyStoreUnavailable` without a database."""
    known = verified_identity(secret)
    if known is not None:
        return known
    digest, now = digest_of(secret), clock.wall_now()
    try:
        key = ApiKey.objects.filter(_is_active(now), digest=digest).first()
    except DatabaseError as error:
        raise KeyStoreUnavailable("keys cannot be checked at the moment") from error
    if key is None:
        _verified.pop(digest, None)
        return None
    left = (key.expires_at - now).total_seconds() if key.expires_at else VERIFIED_SECONDS
    identity = Identity(str(key.pk), key.name, key.scope)
    with _lock:
        if len(_verified) >= MAX_VERIFIED:
            _verified.clear()
        _verified[digest] = (identity, clock.monotonic() + min(left, VERIFIED_SECONDS))
    _used.add(identity.key_id)
    return identity


def identify(secret: str, address: str) -> Identity:
    """The holder of a key; a wrong one counts against the address it came from."""
    identity = authenticate_key(secret)
    if identity is not None:
        return identity
    count_wrong_key(address)
    raise InvalidAPIKey


def count_wrong_key(address: str | None) -> None:
    """Count a wrong key, ticket or token of an address; `TooManyWrongKeys` over the limit."""
    take = window.take(f"wrong-keys:{network_of(address)}", WRONG_KEYS_PER_MINUTE)
    if not take.admitted:
        raise TooManyWrongKeys(take.reset_seconds)


def record_key_use() -> int:
    """Store the time of last use of keys used since the last call; returns their number."""
    with _lock:
        used, now = {key_id for key_id in _used if key_id != BOOTSTRAP}, clock.wall_now()
        _used.clear()
    if not used:
        return 0
    minute_ago = now - timedelta(minutes=1)
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=minute_ago)
    return ApiKey.objects.filter(stale, pk__in=used).update(last_used_at=now)


def ended_keys(key_ids: set[str]) -> set[str]:
    """Subset of the ids whose keys are revoked or expired; ids of no stored key are left out."""
    stored = {key_id for key_id in key_ids if _is_uuid(key_id)}
    active = ApiKey.objects.filter(_is_active(clock.wall_now()), pk__in=stored).values_list("pk", flat=True)
    return stored - set(map(str, active))


def _is_active(now: datetime) -> Q:
    return Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))


def _is_uuid(key_id: str) -> bool:
    try:
        uuid.UUID(key_id)
    except ValueError:
        return False
    return True
