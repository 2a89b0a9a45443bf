"""What can go wrong with a model version."""

from indicators.errors import MLEngineError


class ModelNotFoundError(MLEngineError):
    """No such version, or no champion of that kind."""


class ModelLoadError(MLEngineError):
    """An artifact is missing, torn, edited or does not reproduce its golden rows."""


class FilesRemovedError(ModelLoadError):
    """Retention has removed the files of a version; its row and report are kept."""


class ArtifactWriteError(MLEngineError):
    """An artifact could not be written whole; nothing was registered."""


class TrainingError(MLEngineError):
    """A training run cannot start or finish on the candles given."""


class PromotionRefused(MLEngineError):
    """The gate says no; `reasons` say why."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("promotion refused: " + "; ".join(reasons))
        self.reasons = reasons
