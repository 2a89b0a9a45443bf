"""A Binance-compatible exchange on loopback: it replays or invents candles, and keeps a ledger of what it closed."""

from marketdata.simulator.faults import Fault, FaultPlan
from marketdata.simulator.opening import open_exchange
from marketdata.simulator.server import SimulatedExchange

__all__ = ["Fault", "FaultPlan", "SimulatedExchange", "open_exchange"]
