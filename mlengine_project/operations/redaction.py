"""No secret leaves in a log line: keys of ours, passwords in URLs, and every secret setting."""

import re
from functools import lru_cache

KEY = re.compile(r"mle_[0-9a-f]{8}_[A-Za-z0-9_-]{8,}")
"""A key; its first eight characters are public."""
URL_PASSWORD = re.compile(r"(?P<scheme>[a-z][a-z0-9+]*://[^\s:/@]*:)[^\s@/]+(?=@)")
LABELLED = re.compile(
    r"(?P<label>(?:x-api-key|authorization|api[_-]?key|secret(?:_key)?|password|passwd|token|pepper|ticket)"
    r"\\?['\"]?\s*[=:]\s*\\?['\"]?(?:bearer\s+)?)(?P<value>[^\s'\",;&}\\]{6,})",
    re.IGNORECASE,
)
HIDDEN = "[hidden]"
SECRET_SETTINGS = (
    "API_KEY",
    "API_KEY_PEPPER",
    "METRICS_TOKEN",
    "SECRET_KEY",
    "BINANCE_API_KEY",
    "BINANCE_API_SECRET",
)


@lru_cache(maxsize=1)
def known_secrets() -> tuple[str, ...]:
    """The values of the secret settings, longest first; short ones would hide ordinary words."""
    from django.conf import settings

    values = {str(getattr(settings, name, "")) for name in SECRET_SETTINGS}
    return tuple(sorted((value for value in values if len(value) >= 8), key=len, reverse=True))


def redact(line: str) -> str:
    """Hide everything in a line that looks like, or is, a secret.

    >>> redact("redis://user:swordfish@host:6379/0")
    'redis://user:[hidden]@host:6379/0'
    >>> redact("header X-API-Key: abcdefghijkl refused")
    'header X-API-Key: [hidden] refused'
    """
    for secret in known_secrets():
        line = line.replace(secret, HIDDEN)
    line = KEY.sub(lambda found: found.group(0)[:12] + "_" + HIDDEN, line)
    line = URL_PASSWORD.sub(lambda found: found["scheme"] + HIDDEN, line)
    return LABELLED.sub(lambda found: found["label"] + HIDDEN, line)
