"""Health report: whether each kind has a champion, and whether it is loaded."""

from typing import Any

from django.utils.translation import gettext

from marketdata.models import Market
from modelregistry import artifacts, registry
from modelregistry.models import Kind
from modelregistry.registry.status import default_source


def report() -> dict[str, Any]:
    """Champions of the enabled markets' source, and failures to load them in this process."""
    champions = registry.champions(default_source())
    ids: dict[str, Any] = {kind: str(champions[kind].pk) if kind in champions else None for kind in Kind.values}
    missing = [kind for kind in Kind.values if kind not in champions]
    enabled = set(Market.objects.enabled().values_list("symbol", flat=True))
    ranges = champions.get(Kind.RANGE)
    # A prediction needs the range champion, and a market that champion was trained on.
    unavailable = ranges is None or bool(enabled and not enabled & set(ranges.symbols))
    refused = {"cause": "NO_CHAMPION"} if unavailable else {}
    if missing:
        message = gettext("no champion: %(kinds)s") % {"kinds": ", ".join(missing)}
        return {"status": "degraded", "message": message, **refused, **ids}
    if unavailable:
        message = gettext("no enabled market is in the training set")
        return {"status": "degraded", "message": message, **refused, **ids}
    failed = {failure.kind: failure.message for failure in registry.load_failures()}
    serving = {kind for kinds in registry.loaded_versions().values() for kind in kinds}
    for kind, version in champions.items():
        if kind not in serving and kind not in failed and not artifacts.is_present(kind, version.digest):
            failed[kind] = gettext("its artifact cannot be read")
    if failed:
        named = "; ".join(f"{kind}: {message}" for kind, message in sorted(failed.items()))
        # An older champion that is still loaded keeps serving; without one nothing can be forecast.
        without = set(failed) - serving
        cause = {"cause": "champion_not_loaded"} if without else {}
        message = gettext("not loaded here: %(versions)s") % {"versions": named}
        return {"status": "degraded", "message": message, **cause, **ids}
    return {"status": "healthy", "message": "", **ids}
