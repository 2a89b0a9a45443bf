"""Tickets: a browser's way to the websocket without ever holding a key."""

import hmac
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from marketdata import clock
from mlengine_project.access.keys import BOOTSTRAP, Identity
from mlengine_project.access.models import ApiKey, WebsocketTicket

LIFETIME = timedelta(seconds=30)
KEPT = timedelta(hours=1)
"""How long a spent ticket stays, to tell a repeat from an unknown one when looking into an incident."""
LONGEST = 200


def issue_ticket(identity: Identity) -> tuple[str, datetime]:
    """A pass that works once within 30 seconds and may do what the key may."""
    now = clock.wall_now()
    WebsocketTicket.objects.filter(expires_at__lt=now - KEPT).delete()
    ticket = secrets.token_urlsafe(32)
    row = WebsocketTicket.objects.create(
        digest=_digest_of(ticket), key_id=identity.key_id, scope=identity.scope, expires_at=now + LIFETIME
    )
    return ticket, row.expires_at


def redeem_ticket(ticket: str) -> Identity | None:
    """Spend a ticket; None when it is unknown, spent, too old, or its key has ended meanwhile.

    The update carries the condition, so of any number of callers exactly one wins.
    """
    if not ticket or len(ticket) > LONGEST:
        return None
    digest, now = _digest_of(ticket), clock.wall_now()
    won = WebsocketTicket.objects.filter(digest=digest, redeemed_at__isnull=True, expires_at__gt=now).update(
        redeemed_at=now
    )
    if not won:
        return None
    row = WebsocketTicket.objects.get(digest=digest)
    if row.key_id == BOOTSTRAP:
        return Identity(BOOTSTRAP, BOOTSTRAP, row.scope)
    alive = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    key = ApiKey.objects.filter(alive, pk=row.key_id).first()
    return None if key is None else Identity(row.key_id, key.name, row.scope)


def _digest_of(ticket: str) -> str:
    raw = ticket.encode("utf-8", "surrogatepass")
    return hmac.new(settings.API_KEY_PEPPER.encode(), b"ticket:" + raw, "sha256").hexdigest()
