"""Errors of authentication."""

from indicators.errors import MLEngineError


class InvalidAPIKey(MLEngineError):
    """The key is missing, unknown, expired or revoked, without distinction; `hint` says where a key belongs."""

    def __init__(self, hint: str = "") -> None:
        super().__init__(f"Invalid API Key: {hint}" if hint else "Invalid API Key")


class TooManyWrongKeys(MLEngineError):
    """One address sent more wrong keys in a minute than allowed."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("too many wrong keys from this address")
        self.retry_after_seconds = retry_after_seconds


class KeyStoreUnavailable(MLEngineError):
    """The key is not cached and the database is unavailable."""
