"""What one connection follows: acknowledged, replayed or shown the newest, then live, without a hole between."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from signals import protocol, replay
from signals.connections import Connection
from signals.hub import hub


class Subscriptions:
    """The subscriptions of one connection, changed one request at a time; `in_thread` runs what asks the database."""

    def __init__(self, connection: Connection, in_thread: Callable[[Any], Any]) -> None:
        self.connection = connection
        self._in_thread = in_thread
        self._turn = asyncio.Lock()

    def unsubscribe(self, symbols: Sequence[str]) -> Coroutine[Any, Any, None]:
        """Stop following at once; what is returned says so, behind the requests that came before."""
        self._leave(symbols)
        return self._unsubscribed(symbols)

    async def _unsubscribed(self, symbols: Sequence[str]) -> None:
        async with self._turn:
            self._leave(symbols)  # again: an earlier request may have had its turn only now
            self.connection.put(protocol.frame("unsubscribed", symbols=list(symbols)))

    def _leave(self, symbols: Sequence[str]) -> None:
        hub.unsubscribe(self.connection, symbols)
        self.connection.drop(symbols)

    async def subscribe(self, message: protocol.Message) -> None:
        """Acknowledge, then for each symbol its replay or snapshot, then what happened meanwhile, then live."""
        connection = self.connection
        async with self._turn:
            known = await self._in_thread(replay.known_symbols)(message.symbols)
            unknown = [symbol for symbol in message.symbols if symbol not in known]
            if unknown:
                connection.put(protocol.error("ValidationError", "no market has these symbols", symbols=unknown))
            symbols = [symbol for symbol in message.symbols if symbol in known]
            # Held before the heads are read, so that nothing falls between replay and live.
            connection.drop(symbols)
            connection.hold(symbols)
            hub.subscribe(connection, symbols)
            heads = await self._in_thread(replay.heads_of)(symbols)
            hub.note_heads(heads)
            for symbol in await self._unplayable(connection, heads, message.after):
                heads.pop(symbol)
                hub.unsubscribe(connection, [symbol])
                connection.drop([symbol])
            if heads:
                connection.put(protocol.frame("subscribed", symbols=list(heads), seq=heads))
                await self._catch_up(connection, heads, message.after)

    async def _unplayable(self, connection: Connection, heads: dict[str, int], after: Any) -> list[str]:
        refused = []
        for symbol, seq in after.items():
            if symbol not in heads or seq == heads[symbol]:
                continue
            if seq > heads[symbol]:
                words = "that seq was not given out yet"
                connection.put(protocol.error("AheadOfHead", words, symbol=symbol, head=heads[symbol]))
                refused.append(symbol)
                continue
            first = await self._in_thread(replay.first_seq)(symbol)
            if first is None or seq + 1 < first:
                words = "that far back is no longer kept"
                connection.put(protocol.error("ReplayUnavailable", words, symbol=symbol, first_seq=first))
                refused.append(symbol)
        return refused

    async def _catch_up(self, connection: Connection, heads: dict[str, int], after: Any) -> None:
        fresh = {symbol: head for symbol, head in heads.items() if symbol not in after}
        if fresh:
            newest = await self._in_thread(replay.newest)(fresh)
            connection.put(protocol.snapshot([newest[symbol][1] for symbol in fresh if symbol in newest]))
        for symbol, head in heads.items():
            if symbol in connection.symbols:
                connection.positions[symbol] = after.get(symbol, head)
                await self._replay(connection, symbol)

    async def _replay(self, connection: Connection, symbol: str) -> None:
        """Read on from the log until the signals held back connect, then go live."""
        behind = True
        while symbol in connection.symbols:
            if behind:
                await connection.wait_for_room()
                place = connection.positions.get(symbol, 0)
                entries = await self._in_thread(replay.entries_after)(symbol, place)
                if symbol not in connection.symbols:
                    return  # unsubscribed meanwhile
                for seq, payload in entries:
                    connection.put_replayed(symbol, seq, protocol.signal(symbol, seq, payload))
                if len(entries) == replay.PAGE:
                    continue
            if connection.release(symbol) is None:
                return
            behind = True

    async def fill_gap(self, symbol: str) -> None:
        """Read what a live signal turned out to come after."""
        async with self._turn:
            if symbol in self.connection.symbols:
                await self._replay(self.connection, symbol)
