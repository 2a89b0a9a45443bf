"""Choice of the feed of `up`: the exchange if it answers, else the simulator; recorded."""

import json
import os
import urllib.request
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

from django.conf import settings
from django.db import transaction

from indicators.errors import MLEngineError
from marketdata import clock, services
from marketdata.models import Market, Source

PROBE_SECONDS = 2.0
DEFAULT_SEED = 1


class FeedError(MLEngineError):
    """The requested feed cannot be used."""


@dataclass(frozen=True)
class Feed:
    """The recorded feed, with the state to continue the same prices after a restart."""

    kind: str
    path: str = ""
    speed: float = 1.0
    seed: int = DEFAULT_SEED
    began_at_ms: int = 0
    """Wall time of the first start, ms; fixes the time shift of a replayed file."""
    market_ms: int = 0
    """Market time of the last run, ms, where a faster clock continues."""

    @property
    def source(self) -> Source:
        """The source of its candles."""
        return Source.EXCHANGE if self.kind == "exchange" else Source.SIMULATED


def choose(kind: str, path: str, speed: float | None) -> tuple[Feed, bool]:
    """The feed to use, and whether it differs from the recorded feed.

    Without an explicit choice the recorded feed stays, so that real and simulated prices do not alternate with
    the availability of the network.
    """
    recorded = read()
    if kind == "auto":
        if recorded is not None and not path:
            return replace(recorded, speed=recorded.speed if speed is None else speed), False
        kind = "simulator" if path or not exchange_answers() else "exchange"
    if kind == "exchange" and (path or speed not in (None, 1.0)):
        raise FeedError("--data and --speed need the simulator; write --feed simulator.")
    if path and not Path(path).exists():
        raise FeedError(f"--data names {path}, which does not exist.")
    requested = Feed(kind=kind, path=str(Path(path).resolve()) if path else "", speed=speed or 1.0)
    if recorded is not None and (recorded.kind, recorded.path) == (requested.kind, requested.path):
        return replace(recorded, speed=requested.speed if speed is not None else recorded.speed), False
    if recorded is not None and recorded.kind == requested.kind == "simulator":
        raise FeedError(
            "this state folder already holds simulated prices of another kind; set MLENGINE_STATE_DIR to a new folder."
        )
    return replace(requested, began_at_ms=clock.wall_ms()), True


def exchange_answers() -> bool:
    """Whether the exchange answers ping and time within two seconds."""
    try:
        for path in ("/api/v3/ping", "/api/v3/time"):
            address = settings.BINANCE_API_URL.rstrip("/") + path
            with urllib.request.urlopen(address, timeout=PROBE_SECONDS) as answer:  # noqa: S310  (scheme is checked)
                if answer.status != 200:
                    return False
    except (URLError, OSError, ValueError):
        return False
    return True


def read() -> Feed | None:
    """The recorded feed, None at the first start."""
    try:
        recorded: dict[str, Any] = json.loads(_record_path().read_text())
        return Feed(**recorded)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise FeedError(f"{_record_path()} cannot be read ({error}); remove it to choose a feed again.") from error


def record(feed: Feed) -> None:
    """Store the choice atomically."""
    path = _record_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(feed), indent=1))
    partial.replace(path)


def _record_path() -> Path:
    return Path(settings.STATE_DIR) / "feed.json"


def enable_markets(feed: Feed, symbols: list[str], *, changed: bool) -> list[Market]:
    """Create missing markets; a changed feed takes over its symbols."""
    with transaction.atomic():
        if changed:
            Market.objects.filter(enabled=True).exclude(source=feed.source).update(enabled=False)
        services.seed_markets(symbols, feed.source)
        if changed:
            Market.objects.filter(symbol__in=symbols, source=feed.source).update(enabled=True)
    return list(Market.objects.enabled().filter(source=feed.source))


def point_at(base_url: str, stream_url: str) -> None:
    """Set the simulator's URLs for this process and the commands it starts."""
    settings.BINANCE_API_URL = os.environ["BINANCE_API_URL"] = base_url
    settings.BINANCE_STREAM_URL = os.environ["BINANCE_STREAM_URL"] = stream_url
