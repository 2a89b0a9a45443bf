"""Errors of model versions, artifacts and training."""

from indicators.errors import MLEngineError


class ModelNotFoundError(MLEngineError):
    """No such version, or no champion of that kind."""


class ModelLoadError(MLEngineError):
    """An artifact is missing, damaged, edited or does not reproduce its golden rows."""


class FilesRemovedError(ModelLoadError):
    """Retention has removed the files of a version; its row and report are kept."""


class ArtifactWriteError(MLEngineError):
    """An artifact could not be written completely; nothing was registered."""


class TrainingError(MLEngineError):
    """A training run cannot start or finish on the candles given."""


class ComparisonRefused(MLEngineError):
    """Two versions cannot be compared fairly; the message names what is in the way."""


class PromotionRefused(MLEngineError):
    """A promotion or rollback was refused; `reasons` are sentences."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("promotion refused: " + "; ".join(reasons))
        self.reasons = reasons
