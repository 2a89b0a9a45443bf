"""Redaction of log lines: API keys, sign-in links, passwords in URLs, and secret settings.

Lines hold text of callers and of the exchange. Text is truncated first and every quantifier is bounded, so that
the time is linear in the length of a line.
"""

import re
from functools import lru_cache

KEY = re.compile(r"mle_[0-9a-f]{8}_[A-Za-z0-9_-]{8,512}")
"""A key; its first eight characters are public."""
URL_PASSWORD = re.compile(r"(?P<user>://[^\s:/@]{0,256}+:)[^\s@/]{1,1024}+@")
LABELLED = re.compile(
    r"(?P<label>(?:x-api-key|authorization|api[_-]?key|secret(?:_key)?|password|passwd|token|pepper|ticket)"
    r"\\?['\"]?\s{0,8}[=:]\s{0,8}\\?['\"]?(?:bearer\s{1,8})?)(?P<value>[^\s'\",;&}\\]{6,4096}+)",
    re.IGNORECASE,
)
SIGN_IN_LINK = re.compile(r"(?P<path>/console/sign-in/)[A-Za-z0-9_:-]{8,1024}+")
MAX_LINE_CHARACTERS = 64 * 1024
MAX_VALUE_CHARACTERS = 4 * 1024
MARGIN = 4 * 1024
"""Characters searched beyond a cut, so that a secret across it is found; no secret is longer."""
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
    """The values of the secret settings, longest first, without short ones that match ordinary words."""
    from django.conf import settings

    values = {str(getattr(settings, name, "")) for name in SECRET_SETTINGS}
    return tuple(sorted((value for value in values if len(value) >= 8), key=len, reverse=True))


def redact(line: str) -> str:
    """Hide every secret, and text that looks like one, in a line; a very long line is truncated.

    >>> redact("redis://user:swordfish@host:6379/0")
    'redis://user:[hidden]@host:6379/0'
    >>> redact("header X-API-Key: abcdefghijkl refused")
    'header X-API-Key: [hidden] refused'
    >>> redact("GET /console/sign-in/eyJ1c2VyIjoxfQ:1xXo6u:vQP7uXf-Z3eG 200")
    'GET /console/sign-in/[hidden] 200'
    """
    line = line[: MAX_LINE_CHARACTERS + MARGIN]
    for secret in known_secrets():
        line = line.replace(secret, HIDDEN)
    line = KEY.sub(lambda found: found.group(0)[:12] + "_" + HIDDEN, line)
    line = URL_PASSWORD.sub(lambda found: found["user"] + HIDDEN + "@", line)
    line = SIGN_IN_LINK.sub(lambda found: found["path"] + HIDDEN, line)
    return LABELLED.sub(lambda found: found["label"] + HIDDEN, line)[:MAX_LINE_CHARACTERS]


def shortened(text: str, longest: int = MAX_VALUE_CHARACTERS) -> str:
    """Shorten a long text to its beginning and its end; a secret across a cut is hidden.

    >>> shortened("0123456789", longest=4)
    '01 [6 characters left out] 89'
    """
    if len(text) <= longest:
        return text
    half = longest // 2
    head, tail = redact(text[: half + MARGIN])[:half], redact(text[-half - MARGIN :])[-half:]
    return f"{head} [{len(text) - longest} characters left out] {tail}"
