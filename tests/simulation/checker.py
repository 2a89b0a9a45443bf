"""Checker of a simulated day.

It uses the simulator's ledger, the database file and the published messages, and no code of the engine.
"""

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
MIN_SUSPICION_MS = 600_000  # minimum time of requests for a hole before it may be recorded as absent
MAX_SUSPICION_MS = 3_600_000  # time after which a hole must be recorded as absent


@dataclass
class Findings:
    """Findings by kind, each as text."""

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
    """A stored number (scaled integer, text or count) as Decimal or int."""
    if raw is None or name == "trades":
        return raw
    return Decimal(raw).scaleb(-8) if isinstance(raw, int) else Decimal(raw)


def values_of(kline):
    """Values of a ledger's candle as exact numbers in the order of `COLUMNS`."""
    return tuple(
        getattr(kline, name) if name == "trades" else Decimal(f"{getattr(kline, name):.8f}") for name in COLUMNS
    )


class Checker:
    """Comparison of the results of one day with the exchange's ledger."""

    def __init__(self, path, ledger, symbols, published):
        self.base = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.ledger, self.symbols, self.published = ledger, symbols, published
        self.findings = Findings()

    def rows(self, sql, *arguments):
        return self.base.execute(sql, arguments).fetchall()

    def final(self, end_ms):
        """Check everything that must hold at the end of the day."""
        markets = {symbol: (key, live) for key, symbol, live in self.rows("SELECT id, symbol, live_since FROM markets")}
        for symbol in self.symbols:
            key, live = markets[symbol]
            self._candles(symbol, key, end_ms)
            self._signals(symbol, key, live, end_ms)
        self._stream(end_ms)
        self.base.close()
        return self.findings

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
                self.findings.duplicated.append(f"{symbol} {open_time} is stored {count} times")
        stored = {
            row[0]: tuple(number(name, raw) for name, raw in zip(COLUMNS, row[1:-1], strict=True)) for row in found
        }
        final = {at: values_of(kline) for at, kline in self.ledger.final(symbol).items()}
        for at, values in final.items():
            if at not in stored:
                if at + STEP <= end_ms - PROMPT_SECONDS * 1000:
                    self.findings.lost.append(f"{symbol} {at} was closed and is not stored")
            elif stored[at] != values:
                self.findings.wrong.append(f"{symbol} {at} is stored with other values than the exchange's last")
        for at in stored.keys() - final.keys():
            self.findings.open_as_closed.append(f"{symbol} {at} is stored, the exchange never closed it")
        revisions = self.rows(
            "SELECT open_time, before, after FROM candle_revisions WHERE market_id = ? ORDER BY id", market
        )
        held = {at: [values] for at, values in stored.items()}
        for at, *sides in revisions:
            for side in sides:
                values = json.loads(side)
                held.setdefault(at, []).append(
                    tuple(values[name] if name == "trades" else Decimal(values[name]) for name in COLUMNS)
                )
        for at, all_values in held.items():
            if at in ever and not set(all_values) <= set(ever[at]):
                self.findings.open_as_closed.append(f"{symbol} {at} once had values the exchange never closed it with")
        self._holes(symbol, market, stored, end_ms)

    def _holes(self, symbol, market, stored, end_ms):
        absent = [
            at
            for start, end in self.rows("SELECT start, end FROM absent_stretches WHERE market_id = ?", market)
            for at in range(start, end, STEP)
        ]
        for at in self.ledger.absent(symbol):
            if at not in absent and at < end_ms - MAX_SUSPICION_MS:
                self.findings.unexplained.append(f"{symbol} {at} is a hole that was not recorded as absent")
        for at in set(absent) & stored.keys():
            self.findings.wrong.append(f"{symbol} {at} is stored and recorded as absent")

    def _signals(self, symbol, market, live_since, end_ms):
        signals = self.rows(
            "SELECT seq, strftime('%s', candle_time) * 1000 FROM signal_logs WHERE market_id = ? ORDER BY seq", market
        )
        if [seq for seq, _ in signals] != list(range(1, len(signals) + 1)):
            self.findings.wrong.append(f"{symbol}: the sequence of signals has holes")
        for at, count in Counter(at for _, at in signals).items():
            if count > 1:
                self.findings.duplicated.append(f"{symbol} {at} has {count} signals")
        if live_since is None:
            self.findings.lost.append(f"{symbol} never went live")
            return
        begin = self.rows("SELECT CAST(strftime('%s', ?) AS INTEGER) * 1000", live_since)[0][0]
        candles = {at for (at,) in self.rows("SELECT open_time FROM candles WHERE market_id = ?", market)}
        due = {at for at in candles if at >= begin and at + STEP <= end_ms - PROMPT_SECONDS * 1000}
        signalled = {at for _, at in signals}
        self.findings.lost += [f"{symbol} {at} has no signal" for at in sorted(due - signalled)]
        for at in sorted(signalled - candles):
            self.findings.wrong.append(f"{symbol} {at} has a signal and no candle")

    def _stream(self, end_ms):
        """Check published messages: complete, in order, and repeats with the same bytes."""
        received = {}
        for _, channel, payload in self.published:
            signal = json.loads(payload)
            symbol, seq = signal["symbol"], signal["seq"]
            if channel != f"signals:{symbol}":
                self.findings.wrong.append(f"{symbol} {seq} was published on {channel}")
            known = received.setdefault(symbol, {})
            if known.setdefault(seq, payload) != payload:
                self.findings.duplicated.append(f"{symbol} {seq} was published twice with different bytes")
            elif seq > 1 and seq - 1 not in known:
                self.findings.wrong.append(f"{symbol} {seq} was published before {seq - 1}")
        for symbol in self.symbols:
            due = self.rows("SELECT seq, payload FROM outbox_messages WHERE symbol = ? ORDER BY seq", symbol)
            for seq, payload in due:
                if received.get(symbol, {}).get(seq) != payload:
                    self.findings.lost.append(f"{symbol} {seq} was never published as it is logged")

    def recovered(self, now_ms):
        """List what is still missing a minute after the last fault."""
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
            appeared = {  # these may have been recorded as absent before
                entry.open_time
                for entry in self.ledger.entries(symbol)
                if entry.event == "appeared" and entry.market_ms - entry.open_time - STEP >= MIN_SUSPICION_MS
            }
            missing = [at for at in due if at not in stored and at not in appeared]
            self.findings.late += [f"{symbol} {at} is missing a minute after the last fault" for at in missing]
            if live is None:
                self.findings.late.append(f"{symbol} is not live a minute after the last fault")
        waiting = self.rows("SELECT symbol, seq FROM outbox_messages WHERE sent_at IS NULL")
        self.findings.late += [f"{symbol} {seq} is unsent a minute after the last fault" for symbol, seq in waiting]
        unsignalled = self.rows(
            "SELECT m.symbol, c.open_time FROM candles c JOIN markets m ON m.id = c.market_id "
            "WHERE c.open_time >= CAST(strftime('%s', m.live_since) AS INTEGER) * 1000 AND NOT EXISTS ("
            "SELECT 1 FROM signal_logs s WHERE s.market_id = m.id AND "
            "s.candle_time = datetime(c.open_time / 1000, 'unixepoch'))"
        )
        self.findings.late += [
            f"{symbol} {at} has no signal a minute after the last fault" for symbol, at in unsignalled
        ]
        self.base.close()
        return self.findings.late

    def check_delays(self, from_ms, until_ms, begin_ms):
        """Check that every close in a span was published soon after.

        Times are the exchange's, which began at `begin_ms`.
        """
        received = {}
        for at, _, payload in self.published:
            signal = json.loads(payload)
            key = signal["symbol"], round(datetime.fromisoformat(signal["candle_time"]).timestamp() * 1000)
            received.setdefault(key, at)
        for symbol in self.symbols:
            for entry in self.ledger.entries(symbol):
                close_ms = entry.open_time + STEP
                if entry.event != "closed" or not from_ms <= close_ms <= until_ms:
                    continue
                at = received.get((symbol, entry.open_time))
                if at is None or begin_ms + at * 1000 > close_ms + PROMPT_SECONDS * 1000:
                    self.findings.late.append(
                        f"{symbol} {entry.open_time} had no signal in time although there were no faults"
                    )
