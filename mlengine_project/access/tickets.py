"""Websocket tickets, by which a browser authenticates without an API key."""

import hmac
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from marketdata import clock
from mlengine_project.access.keys import BOOTSTRAP, Identity
from mlengine_project.access.models import ApiKey, WebsocketTicket

LIFETIME = timedelta(seconds=30)
USED_TICKET_RETENTION = timedelta(hours=1)
"""How long a used ticket is kept, to distinguish a repeat from an unknown one in an incident."""
MAX_TICKET_CHARACTERS = 200


def issue_ticket(identity: Identity) -> tuple[str, datetime]:
    """Issue a single-use ticket with the key's scope, valid for 30 seconds."""
    now = clock.wall_now()
    WebsocketTicket.objects.filter(expires_at__lt=now - USED_TICKET_RETENTION).delete()
    ticket = secrets.token_urlsafe(32)
    row = WebsocketTicket.objects.create(
        digest=_digest_of(ticket), key_id=identity.key_id, scope=identity.scope, expires_at=now + LIFETIME
    )
    return ticket, row.expires_at


def redeem_ticket(ticket: str) -> Identity | None:
    """Redeem a ticket; None when it is unknown, used, expired, or its key has ended.

    The update is conditional, so of any number of concurrent callers exactly one succeeds.
    """
    if not ticket or len(ticket) > MAX_TICKET_CHARACTERS:
        return None
    digest, now = _digest_of(ticket), clock.wall_now()
    redeemed = WebsocketTicket.objects.filter(digest=digest, redeemed_at__isnull=True, expires_at__gt=now).update(
        redeemed_at=now
    )
    if not redeemed:
        return None
    row = WebsocketTicket.objects.get(digest=digest)
    if row.key_id == BOOTSTRAP:
        return Identity(BOOTSTRAP, BOOTSTRAP, row.scope)
    active = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    key = ApiKey.objects.filter(active, pk=row.key_id).first()
    return None if key is None else Identity(row.key_id, key.name, row.scope)


def _digest_of(ticket: str) -> str:
    raw = ticket.encode("utf-8", "surrogatepass")
    return hmac.new(settings.API_KEY_PEPPER.encode(), b"ticket:" + raw, "sha256").hexdigest()
