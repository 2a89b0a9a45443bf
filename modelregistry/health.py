"""What this app says of itself: is there a champion of each kind, and is it the one in memory."""

from typing import Any

from modelregistry import registry
from modelregistry.models import Kind
from modelregistry.status import usual_source


def report() -> dict[str, Any]:
    """Champions of the enabled markets' source, and failures to load them in this process."""
    crowned = registry.champions(usual_source())
    said: dict[str, Any] = {kind: str(crowned[kind].pk) if kind in crowned else None for kind in Kind.values}
    missing = [kind for kind in Kind.values if kind not in crowned]
    if missing:
        return {"status": "degraded", "message": f"no champion: {', '.join(missing)}", **said}
    failures = registry.load_failures()
    if failures:
        named = "; ".join(f"{failure.kind}: {failure.message}" for failure in failures)
        return {"status": "degraded", "message": f"not loaded here: {named}", **said}
    return {"status": "healthy", "message": "", **said}
