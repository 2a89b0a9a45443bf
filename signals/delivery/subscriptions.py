"""Subscriptions of one connection: acknowledgement, replay or snapshot, then live, without gaps."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from signals.delivery import protocol, replay
from signals.delivery.connections import Connection
from signals.delivery.hub import hub


class Subscriptions:
    """Subscriptions of one connection, changed by one request at a time.

    `in_thread` wraps functions that use the database.
    """

    def __init__(self, connection: Connection, in_thread: Callable[[Any], Any]) -> None:
        self.connection = connection
        self._in_thread = in_thread
        self._request_lock = asyncio.Lock()

    def unsubscribe(self, symbols: Sequence[str]) -> Coroutine[Any, Any, None]:
        """Unsubscribe at once; the returned coroutine acknowledges it after earlier requests."""
        self._remove(symbols)
        return self._acknowledge_unsubscribed(symbols)

    async def _acknowledge_unsubscribed(self, symbols: Sequence[str]) -> None:
        async with self._request_lock:
            self._remove(symbols)  # again: an earlier request may have subscribed them meanwhile
            self.connection.put(protocol.frame("unsubscribed", symbols=list(symbols)))

    def _remove(self, symbols: Sequence[str]) -> None:
        hub.unsubscribe(self.connection, symbols)
        self.connection.drop(symbols)

    async def subscribe(self, message: protocol.Message) -> None:
        """Acknowledge, send replay or snapshot of each symbol, then signals buffered meanwhile, then live."""
        connection = self.connection
        async with self._request_lock:
            known = await self._in_thread(replay.known_symbols)(message.symbols)
            unknown = [symbol for symbol in message.symbols if symbol not in known]
            if unknown:
                connection.put(protocol.error("ValidationError", "no market has these symbols", symbols=unknown))
            symbols = [symbol for symbol in message.symbols if symbol in known]
            # Buffered before the heads are read, so that no signal is lost between replay and live.
            connection.drop(symbols)
            connection.hold(symbols)
            hub.subscribe(connection, symbols)
            heads = await self._in_thread(replay.heads_of)(symbols)
            hub.note_heads(heads)
            for symbol in await self._refuse_impossible_replays(connection, heads, message.after):
                heads.pop(symbol)
                hub.unsubscribe(connection, [symbol])
                connection.drop([symbol])
            if heads:
                connection.put(protocol.frame("subscribed", symbols=list(heads), seq=heads))
                await self._catch_up(connection, heads, message.after)

    async def _refuse_impossible_replays(self, connection: Connection, heads: dict[str, int], after: Any) -> list[str]:
        refused = []
        for symbol, seq in after.items():
            if symbol not in heads or seq == heads[symbol]:
                continue
            if seq > heads[symbol]:
                message = "that seq is above the newest one"
                connection.put(protocol.error("AheadOfHead", message, symbol=symbol, head=heads[symbol]))
                refused.append(symbol)
                continue
            first = await self._in_thread(replay.first_seq)(symbol)
            if first is None or seq + 1 < first:
                message = "signals after that seq are no longer available"
                connection.put(protocol.error("ReplayUnavailable", message, symbol=symbol, first_seq=first))
                refused.append(symbol)
        return refused

    async def _catch_up(self, connection: Connection, heads: dict[str, int], after: Any) -> None:
        without_after = {symbol: head for symbol, head in heads.items() if symbol not in after}
        if without_after:
            newest = await self._in_thread(replay.newest)(without_after)
            connection.put(protocol.snapshot([newest[symbol][1] for symbol in without_after if symbol in newest]))
        for symbol, head in heads.items():
            if symbol in connection.symbols:
                connection.positions[symbol] = after.get(symbol, head)
                await self._replay(connection, symbol)

    async def _replay(self, connection: Connection, symbol: str) -> None:
        """Replay from the log until the buffered signals follow without a gap."""
        behind = True
        while symbol in connection.symbols:
            if behind:
                await connection.wait_for_room()
                position = connection.positions.get(symbol, 0)
                entries = await self._in_thread(replay.entries_after)(symbol, position)
                if symbol not in connection.symbols:
                    return  # unsubscribed meanwhile
                for seq, payload in entries:
                    connection.put_replayed(protocol.signal(symbol, seq, payload))
                if len(entries) == replay.PAGE:
                    continue
            if connection.release(symbol) is None:
                return
            behind = True

    async def fill_gap(self, symbol: str) -> None:
        """Replay the signals missing before a live one."""
        async with self._request_lock:
            if symbol in self.connection.symbols:
                await self._replay(self.connection, symbol)
