"""The base class of the engine's errors, and the errors of the numerical code."""


class MLEngineError(Exception):
    """Base class of all expected errors; the message can be shown to a caller."""


class FeatureError(MLEngineError):
    """Features cannot be computed from the candles given."""


class UnknownIndicator(MLEngineError):
    """A name that is not in the indicator catalogue."""
