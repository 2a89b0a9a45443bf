"""The root of every error this engine raises on purpose, and those of the numerical code."""


class MLEngineError(Exception):
    """Something this engine can name went wrong; the message is fit to be shown to a caller."""


class FeatureError(MLEngineError):
    """Features cannot be computed from the candles given."""


class UnknownIndicator(MLEngineError):
    """A name that is not in the indicator catalogue."""
