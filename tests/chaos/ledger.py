"""Comparison of the exchange's ledger with candles and signals in the database."""

from dataclasses import dataclass, field
from decimal import Decimal

import psycopg

FIELDS = (
    "open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote",
)  # fmt: skip


@dataclass
class Comparison:
    """Differences by kind."""

    closed: int = 0
    lost: list = field(default_factory=list)
    duplicated: int = 0
    wrong: list = field(default_factory=list)
    open_as_closed: list = field(default_factory=list)
    signals_missing: list = field(default_factory=list)
    sequence_holes: int = 0
    unsent: int = 0

    def counts(self) -> dict:
        return {name: len(value) if isinstance(value, list) else value for name, value in vars(self).items()}

    @property
    def is_complete(self) -> bool:
        counts = self.counts()
        return counts.pop("closed") > 0 and not any(counts.values())


def compare(url: str, exchange, last: dict[str, int]) -> Comparison:
    """Compare every closed candle up to `last` of each symbol."""
    found = Comparison()
    before = {symbol: exchange.ledger.final(symbol) for symbol in exchange.symbols}
    with psycopg.connect(url, options="-c search_path=ml") as connection:
        for symbol, closed in before.items():
            ledger = {at: kline for at, kline in closed.items() if at <= last[symbol]}
            found.closed += len(ledger)
            stored = read_candles(connection, symbol, min(ledger))
            later = exchange.ledger.final(symbol)
            found.lost += [(symbol, at) for at in ledger if at not in stored]
            found.duplicated += sum(len(rows) - 1 for rows in stored.values())
            found.open_as_closed += [(symbol, at) for at in stored if at not in later]
            found.wrong += [
                (symbol, at)
                for at, rows in stored.items()
                if at in later and rows[0] != tuple(Decimal(f"{getattr(later[at], name):.8f}") for name in FIELDS)
            ]
            signals = read_signals(connection, symbol)
            first = min(signals.values(), default=0)
            found.signals_missing += [(symbol, at) for at in ledger if at >= first and at not in signals.values()]
            found.sequence_holes += sorted(signals) != list(range(1, len(signals) + 1))
        found.unsent = connection.execute("SELECT count(*) FROM outbox_messages WHERE sent_at IS NULL").fetchone()[0]
    return found


def read_candles(connection, symbol: str, since: int) -> dict[int, list[tuple]]:
    rows = connection.execute(
        f"SELECT open_time, {', '.join(FIELDS)} FROM candles JOIN markets ON markets.id = market_id "
        "WHERE symbol = %s AND open_time >= %s",
        [symbol, since],
    )
    stored: dict[int, list[tuple]] = {}
    for open_time, *cells in rows:
        stored.setdefault(open_time, []).append(tuple(cells))
    return stored


def read_signals(connection, symbol: str) -> dict[int, int]:
    """Open times of the candles of all signals by `seq`."""
    rows = connection.execute(
        "SELECT seq, (extract(epoch FROM candle_time) * 1000)::bigint FROM signal_logs WHERE symbol = %s", [symbol]
    )
    return dict(rows.fetchall())
