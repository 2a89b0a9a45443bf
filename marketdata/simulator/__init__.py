"""A Binance-compatible exchange on loopback that replays or generates candles and keeps a ledger."""

from marketdata.simulator.faults import Fault, FaultPlan
from marketdata.simulator.http.server import SimulatedExchange
from marketdata.simulator.opening import open_exchange

__all__ = ["Fault", "FaultPlan", "SimulatedExchange", "open_exchange"]
