"""Finished answers in memory of a serving process, with one instant until which they are valid.

An answer is the bytes of the newest prediction of a symbol and horizon. All answers belong to one state: the last
closed candle, the enabled markets and the champions. The state is read from the database at least once a second. An
answer is used only within that second and before the next close; another state begins without answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from marketdata import clock
from marketdata.intervals import INTERVAL_MS, last_closed_open
from marketdata.models import Market
from modelregistry import registry
from modelregistry.estimators.kinds import RANGE

MAX_AGE_SECONDS = 1.0
"""Age of the state after which no answer is used."""
RENEWAL_SECONDS = 0.4
"""Age of the state after which it is read again, while its answers are still used."""

Question = tuple[str, int]
"""Symbol and horizon."""


@dataclass(frozen=True)
class ServedMarket:
    """An enabled market with champions: its id, the horizons served and the versions that answer."""

    market_id: int
    horizons: tuple[int, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class State:
    """The last closed candle, the enabled markets by symbol, and the answers given for them so far."""

    open_ms: int
    markets: Mapping[str, ServedMarket]
    answers: dict[Question, bytes] = field(default_factory=dict, compare=False)


class Answers:
    """The answers of this process. `find` does no I/O; `renew` queries the database."""

    def __init__(self) -> None:
        self.state = State(0, {})
        self.valid_until = self.renewal_at = float("-inf")
        """Instants of the monotonic clock."""

    def find(self, question: Question) -> bytes | None:
        """The answer, if there is one; to be used while `valid_until` lies ahead."""
        return self.state.answers.get(question)

    def is_served(self, question: Question) -> bool:
        """Whether the market is enabled and its champions answer for that horizon."""
        market = self.state.markets.get(question[0])
        return market is not None and question[1] in market.horizons

    def renew(self) -> None:
        """Read the state; answers are kept where it is the same."""
        read_at = clock.monotonic()
        state, seconds_to_close = read_state()
        if state != self.state:
            self.state = state
        self.renewal_at = read_at + RENEWAL_SECONDS
        self.valid_until = read_at + min(MAX_AGE_SECONDS, seconds_to_close)

    def keep(self, state: State, question: Question, content: bytes) -> None:
        """Keep an answer computed while `state` was the newest, unless it is for another candle or by others."""
        prediction = orjson.loads(content)
        versions = state.markets[question[0]].versions
        candle_time = clock.iso(clock.to_datetime(state.open_ms))
        if prediction["candle_time"] == candle_time and prediction["model_versions"] == versions:
            state.answers[question] = content


def read_state() -> tuple[State, float]:
    """The state without answers, and the wall seconds until the next close."""
    now_ms = clock.market_ms()
    open_ms = last_closed_open(now_ms)
    enabled = list(Market.objects.enabled())
    ensembles = {source: registry.serving_ensemble(source) for source in {market.source for market in enabled}}
    markets = {}
    for market in enabled:
        ensemble = ensembles[market.source]
        if ensemble is not None and market.symbol in ensemble.symbols.get(RANGE, ()):
            markets[market.symbol] = ServedMarket(market.pk, tuple(ensemble.horizons), dict(ensemble.versions))
    return State(open_ms, markets), clock.wall_seconds((open_ms + 2 * INTERVAL_MS - now_ms) / 1000)
