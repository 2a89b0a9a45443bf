"""What can go wrong between a decision and its subscribers."""

from indicators.errors import MLEngineError


class PublishFailed(MLEngineError):
    """A signal could not be sent; its outbox row stays and the sweeper tries again."""


class SignalPending(MLEngineError):
    """The newest candle has no signal row yet."""
