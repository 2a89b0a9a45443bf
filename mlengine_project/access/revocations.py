"""Revoked and expired keys, for connections that stay open after authentication."""

import uuid

from django.db.models import Q

from marketdata import clock
from mlengine_project.access.models import ApiKey


def ended_keys(key_ids: set[str]) -> set[str]:
    """Subset of the ids whose keys are revoked or expired; ids of no stored key are left out."""
    stored = {key_id for key_id in key_ids if _is_uuid(key_id)}
    active = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=clock.wall_now()))
    active_ids = {str(key_id) for key_id in ApiKey.objects.filter(active, pk__in=stored).values_list("pk", flat=True)}
    return stored - active_ids


def _is_uuid(key_id: str) -> bool:
    try:
        uuid.UUID(key_id)
    except ValueError:
        return False
    return True
