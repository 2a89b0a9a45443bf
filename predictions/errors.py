"""Errors of predictions and of their archive."""

from indicators.errors import MLEngineError


class PredictionError(MLEngineError):
    """Internal failure while predicting."""


class PredictionRefused(MLEngineError):
    """A prediction is refused; `reasons` are codes, most important first."""

    def __init__(self, reasons: list[str], message: str = "", retry_after_seconds: int = 5) -> None:
        super().__init__(message or "prediction refused: " + ", ".join(reasons))
        self.reasons = reasons
        self.retry_after_seconds = retry_after_seconds


class InvalidRequest(MLEngineError):
    """The request is invalid; `details` has texts by field on what to write instead."""

    def __init__(self, details: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{name}: {' '.join(texts)}" for name, texts in details.items()))
        self.details = details


class BrokenChain(MLEngineError):
    """The seal of a row does not match its columns and the row before it."""


class ArchiveError(MLEngineError):
    """Old rows could not be archived, or an archive file is damaged."""
