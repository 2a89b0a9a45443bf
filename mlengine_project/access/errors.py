"""Why a caller is not let in."""

from indicators.errors import MLEngineError


class InvalidAPIKey(MLEngineError):
    """No key, or one that is unknown, expired or revoked, which are not told apart; `hint` is about its place."""

    def __init__(self, hint: str = "") -> None:
        super().__init__(f"Invalid API Key: {hint}" if hint else "Invalid API Key")


class TooManyWrongKeys(MLEngineError):
    """One address tried more wrong keys in a minute than a mistake explains."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("too many wrong keys from this address")
        self.retry_after_seconds = retry_after_seconds


class KeyStoreAway(MLEngineError):
    """The key is not remembered and the database that knows it does not answer."""
