"""Kept comparisons of two versions, found from either of them."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet

from marketdata import clock
from modelregistry.models import ModelVersion, VersionComparison


def keep(
    first: ModelVersion, second: ModelVersion, from_ms: int, until_ms: int, result: Mapping[str, Any], actor: str
) -> VersionComparison:
    """Store the result of a comparison; the same question again renews it."""
    kept, _ = VersionComparison.objects.update_or_create(
        first=first,
        second=second,
        compared_from=clock.to_datetime(from_ms),
        compared_until=clock.to_datetime(until_ms),
        symbols=sorted(result["symbols"]),
        stride=result["stride"],
        defaults={"result": dict(result), "actor": actor[:150]},
    )
    return kept


def comparisons_of(*versions: ModelVersion) -> QuerySet[VersionComparison]:
    """Comparisons in which every one of these versions takes part, newest first, without reports."""
    found = VersionComparison.objects.select_related("first", "second").defer("first__report", "second__report")
    for version in versions:
        found = found.filter(Q(first=version) | Q(second=version))
    return found
