"""A Binance-compatible exchange on loopback that replays or generates candles and keeps a ledger."""

from marketdata.simulator.faults import Fault, FaultPlan
from marketdata.simulator.opening import open_exchange
from marketdata.simulator.server import SimulatedExchange

__all__ = ["Fault", "FaultPlan", "SimulatedExchange", "open_exchange"]
