"""Creating a simulated exchange from the options of a command."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from marketdata import clock
from marketdata.simulator.faults import FaultPlan
from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.http.server import SimulatedExchange
from marketdata.simulator.recorded.replay import Replay

DEFAULT_SYMBOLS = ("BTCUSDT", "ETHUSDT")


def open_exchange(
    *,
    paths: Iterable[Path] = (),
    symbols: Iterable[str] = (),
    start_ms: int | None = None,
    then_invent: bool = False,
    seed: int = 0,
    speed: float = 1.0,
    began_at_ms: int = 0,
    market_ms: int = 0,
    faults: FaultPlan | None = None,
    ledger_path: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> SimulatedExchange:
    """Create a simulated exchange without starting it.

    Parameters
    ----------
    paths : iterable of Path
        Files or folders to replay; without any, candles are generated.
    symbols : iterable of str
        Symbols to trade; by default all files, or BTCUSDT and ETHUSDT.
    start_ms : int, optional
        Recorded time from which candles are live.
    then_invent : bool
        Whether generated candles follow where the files end.
    began_at_ms : int
        Wall time of the first start, so that a later one gives the same candles at the same times; 0 is now.
    market_ms : int
        Market time at the last stop; market time never runs backwards. At normal speed the market advanced while
        the simulator was stopped, at others it continues where it was.
    seed, speed, faults, ledger_path, host, port
        As for :class:`SimulatedExchange`.
    """
    wall_ms = clock.wall_ms()
    anchor_ms = began_at_ms or wall_ms
    paths, symbols = list(paths), tuple(symbols)
    source: Replay | CandleGenerator
    if paths:
        source = Replay.of_files(
            paths, symbols=symbols, start_ms=start_ms, anchor_ms=anchor_ms, then_invent=then_invent, seed=seed
        )
        first_ms = source.begin_ms
    else:
        source, first_ms = CandleGenerator(symbols or DEFAULT_SYMBOLS, seed), anchor_ms
    if speed == 1:
        market_ms = max(market_ms, first_ms + wall_ms - anchor_ms)
    return SimulatedExchange(
        source=source,
        seed=seed,
        speed=speed,
        begin_at=market_ms or first_ms,
        faults=faults or (),
        ledger_path=ledger_path,
        host=host,
        port=port,
    )
