"""Errors of publishing and reading signals."""

from indicators.errors import MLEngineError


class PublishFailed(MLEngineError):
    """A signal could not be sent; its outbox row stays and is sent by the next sweep."""


class SignalPending(MLEngineError):
    """The newest candle has no signal row yet."""
