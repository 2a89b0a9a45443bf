"""Why a prediction is not given."""

from indicators.errors import MLEngineError


class PredictionError(MLEngineError):
    """A prediction failed for a reason that is ours."""


class PredictionRefused(MLEngineError):
    """The engine knows better than to answer; `reasons` are codes, most important first."""

    def __init__(self, reasons: list[str], message: str = "", retry_after_seconds: int = 5) -> None:
        super().__init__(message or "prediction refused: " + ", ".join(reasons))
        self.reasons = reasons
        self.retry_after_seconds = retry_after_seconds


class InvalidRequest(MLEngineError):
    """What was asked cannot be answered as asked; `details` says by field what to write instead."""

    def __init__(self, details: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{name}: {' '.join(said)}" for name, said in details.items()))
        self.details = details


class BrokenChain(MLEngineError):
    """A sealed row does not carry the seal its columns and its predecessor give."""


class ArchiveError(MLEngineError):
    """Old rows could not be put away; they stay where they were."""
