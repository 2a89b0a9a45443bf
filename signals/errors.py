"""Errors of publishing and reading signals."""

from indicators.errors import MLEngineError


class PublishFailed(MLEngineError):
    """A signal could not be sent; the next sweep sends its outbox row."""


class SignalPending(MLEngineError):
    """The newest candle has no signal row yet."""
