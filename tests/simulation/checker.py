"""The judge: knows the simulator's ledger, the database file and the published stream, and nothing of the engine."""

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

STEP = 300_000
COLUMNS = [
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_base",
    "taker_buy_quote",
]  # of the table, in the ledger's order
RECOVERY_SECONDS = 60.0
PROMPT_SECONDS = 15.0
DOUBT_MS = 600_000  # a hole must be asked for at least this long before it may be called the exchange's own
PATIENCE_MS = 3_600_000  # how long a hole may be waited for before it must be on record as absent


@dataclass
class Verdict:
    """What was found, by kind; every finding in words."""

    lost: list = field(default_factory=list)
    duplicated: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    open_as_closed: list = field(default_factory=list)
    late: list = field(default_factory=list)
    unexplained: list = field(default_factory=list)

    def counts(self):
        return {name: len(found) for name, found in vars(self).items()}

    def is_clean(self):
        return not any(vars(self).values())


def number(name, raw):
    """A stored decimal as a number: scaled integer, text, or a count."""
    if raw is None or name == "trades":
        return raw
    return Decimal(raw).scaleb(-8) if isinstance(raw, int) else Decimal(raw)


def values_of(kline):
    """A ledger's candle as exact numbers, by column."""
    return tuple(
        getattr(kline, name) if name == "trades" else Decimal(f"{getattr(kline, name):.8f}") for name in COLUMNS
    )


class Checker:
    """Everything one day left behind, held against what the exchange did."""

    def __init__(self, path, ledger, symbols, published):
        self.base = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.ledger, self.symbols, self.published = ledger, symbols, published
        self.verdict = Verdict()

    def rows(self, sql, *arguments):
        return self.base.execute(sql, arguments).fetchall()

    def final(self, end_ms):
        """Everything that must hold when the day is over."""
        markets = {symbol: (key, live) for key, symbol, live in self.rows("SELECT id, symbol, live_since FROM markets")}
        for symbol in self.symbols:
            key, live = markets[symbol]
            self._candles(symbol, key, end_ms)
            self._signals(symbol, key, live, end_ms)
        self._stream(end_ms)
        self.base.close()
        return self.verdict

    def _candles(self, symbol, market, end_ms):
        entries = self.ledger.entries(symbol)
        if not entries:
            return
        begin = entries[0].open_time
        ever = {}
        for entry in entries:
            if entry.kline is not None:
                ever.setdefault(entry.open_time, []).append(values_of(entry.kline))
        found = self.rows(
            f"SELECT open_time, {', '.join(COLUMNS)}, revision FROM candles WHERE market_id = ? AND open_time >= ?",
            market,
            begin,
        )
        for open_time, count in Counter(row[0] for row in found).items():
            if count > 1:
                self.verdict.duplicated.append(f"{symbol} {open_time} is stored {count} times")
        stored = {
            row[0]: tuple(number(name, raw) for name, raw in zip(COLUMNS, row[1:-1], strict=True)) for row in found
        }
        final = {at: values_of(kline) for at, kline in self.ledger.final(symbol).items()}
        for at, values in final.items():
            if at not in stored:
                if at + STEP <= end_ms - PROMPT_SECONDS * 1000:
                    self.verdict.lost.append(f"{symbol} {at} was closed and is not stored")
            elif stored[at] != values:
                self.verdict.wrong.append(f"{symbol} {at} is stored with other values than the exchange's last")
        for at in stored.keys() - final.keys():
            self.verdict.open_as_closed.append(f"{symbol} {at} is stored, the exchange never closed it")
        revisions = self.rows(
            "SELECT open_time, before, after FROM candle_revisions WHERE market_id = ? ORDER BY id", market
        )
        held = {at: [values] for at, values in stored.items()}
        for at, *sides in revisions:
            for side in sides:
                said = json.loads(side)
                held.setdefault(at, []).append(
                    tuple(said[name] if name == "trades" else Decimal(said[name]) for name in COLUMNS)
                )
        for at, all_values in held.items():
            if at in ever and not set(all_values) <= set(ever[at]):
                self.verdict.open_as_closed.append(f"{symbol} {at} once had values the exchange never closed it with")
        self._holes(symbol, market, stored, end_ms)

    def _holes(self, symbol, market, stored, end_ms):
        absent = [
            at
            for start, end in self.rows("SELECT start, end FROM absent_stretches WHERE market_id = ?", market)
            for at in range(start, end, STEP)
        ]
        for at in self.ledger.absent(symbol):
            if at not in absent and at < end_ms - PATIENCE_MS:
                self.verdict.unexplained.append(f"{symbol} {at} is a hole nobody recorded")
        for at in set(absent) & stored.keys():
            self.verdict.wrong.append(f"{symbol} {at} is stored and on record as absent")

    def _signals(self, symbol, market, live_since, end_ms):
        signals = self.rows(
            "SELECT seq, strftime('%s', candle_time) * 1000 FROM signal_logs WHERE market_id = ? ORDER BY seq", market
        )
        if [seq for seq, _ in signals] != list(range(1, len(signals) + 1)):
            self.verdict.wrong.append(f"{symbol}: the sequence of signals has holes")
        for at, count in Counter(at for _, at in signals).items():
            if count > 1:
                self.verdict.duplicated.append(f"{symbol} {at} has {count} signals")
        if live_since is None:
            self.verdict.lost.append(f"{symbol} never went live")
            return
        begin = self.rows("SELECT CAST(strftime('%s', ?) AS INTEGER) * 1000", live_since)[0][0]
        candles = {at for (at,) in self.rows("SELECT open_time FROM candles WHERE market_id = ?", market)}
        due = {at for at in candles if at >= begin and at + STEP <= end_ms - PROMPT_SECONDS * 1000}
        said = {at for _, at in signals}
        self.verdict.lost += [f"{symbol} {at} has no signal" for at in sorted(due - said)]
        for at in sorted(said - candles):
            self.verdict.wrong.append(f"{symbol} {at} has a signal and no candle")

    def _stream(self, end_ms):
        """What subscribers heard: everything, in order, and the same again where it was repeated."""
        heard = {}
        for _, channel, payload in self.published:
            said = json.loads(payload)
            symbol, seq = said["symbol"], said["seq"]
            if channel != f"signals:{symbol}":
                self.verdict.wrong.append(f"{symbol} {seq} was published on {channel}")
            known = heard.setdefault(symbol, {})
            if known.setdefault(seq, payload) != payload:
                self.verdict.duplicated.append(f"{symbol} {seq} was published twice with different bytes")
            elif seq > 1 and seq - 1 not in known:
                self.verdict.wrong.append(f"{symbol} {seq} was published before {seq - 1}")
        for symbol in self.symbols:
            due = self.rows("SELECT seq, payload FROM outbox_messages WHERE symbol = ? ORDER BY seq", symbol)
            for seq, payload in due:
                if heard.get(symbol, {}).get(seq) != payload:
                    self.verdict.lost.append(f"{symbol} {seq} was never published as it is logged")

    def recovered(self, now_ms):
        """What is still missing a minute after the last fault."""
        for symbol in self.symbols:
            market, live = self.rows("SELECT id, live_since FROM markets WHERE symbol = ?", symbol)[0]
            begin = min((entry.open_time for entry in self.ledger.entries(symbol)), default=0)
            stored = {
                at
                for (at,) in self.rows(
                    "SELECT open_time FROM candles WHERE market_id = ? AND open_time >= ?", market, begin
                )
            }
            due = [at for at in self.ledger.final(symbol) if at + STEP <= now_ms - PROMPT_SECONDS * 1000]
            appeared = {  # after so long, an engine may have put them on record as absent
                entry.open_time
                for entry in self.ledger.entries(symbol)
                if entry.event == "appeared" and entry.market_ms - entry.open_time - STEP >= DOUBT_MS
            }
            missing = [at for at in due if at not in stored and at not in appeared]
            self.verdict.late += [f"{symbol} {at} is missing a minute after the last fault" for at in missing]
            if live is None:
                self.verdict.late.append(f"{symbol} is not live a minute after the last fault")
        waiting = self.rows("SELECT symbol, seq FROM outbox_messages WHERE sent_at IS NULL")
        self.verdict.late += [f"{symbol} {seq} is unsent a minute after the last fault" for symbol, seq in waiting]
        silent = self.rows(
            "SELECT m.symbol, c.open_time FROM candles c JOIN markets m ON m.id = c.market_id "
            "WHERE c.open_time >= CAST(strftime('%s', m.live_since) AS INTEGER) * 1000 AND NOT EXISTS ("
            "SELECT 1 FROM signal_logs s WHERE s.market_id = m.id AND "
            "s.candle_time = datetime(c.open_time / 1000, 'unixepoch'))"
        )
        self.verdict.late += [f"{symbol} {at} has no signal a minute after the last fault" for symbol, at in silent]
        self.base.close()
        return self.verdict.late

    def prompt(self, from_ms, until_ms, begin_ms):
        """Every close between the two was published soon after; times of the exchange, which began at `begin_ms`."""
        heard = {}
        for at, _, payload in self.published:
            said = json.loads(payload)
            key = said["symbol"], round(datetime.fromisoformat(said["candle_time"]).timestamp() * 1000)
            heard.setdefault(key, at)
        for symbol in self.symbols:
            for entry in self.ledger.entries(symbol):
                close_ms = entry.open_time + STEP
                if entry.event != "closed" or not from_ms <= close_ms <= until_ms:
                    continue
                at = heard.get((symbol, entry.open_time))
                if at is None or begin_ms + at * 1000 > close_ms + PROMPT_SECONDS * 1000:
                    self.verdict.late.append(f"{symbol} {entry.open_time} had no signal in time on a quiet exchange")
