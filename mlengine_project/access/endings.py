"""Which keys have ended, for connections that outlive the request that showed the key."""

import uuid

from django.db.models import Q

from marketdata import clock
from mlengine_project.access.models import ApiKey


def ended_keys(key_ids: set[str]) -> set[str]:
    """Those of the ids that are keys revoked or expired by now; ids that are no keys at all never end."""
    stored = {key_id for key_id in key_ids if _is_row(key_id)}
    alive = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=clock.wall_now()))
    living = {str(key_id) for key_id in ApiKey.objects.filter(alive, pk__in=stored).values_list("pk", flat=True)}
    return stored - living


def _is_row(key_id: str) -> bool:
    try:
        uuid.UUID(key_id)
    except ValueError:
        return False
    return True
