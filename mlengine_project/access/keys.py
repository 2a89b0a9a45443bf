"""Format, digest and identity of API keys, without the database."""

import hmac
import secrets
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from mlengine_project.access.models import Scope

KEY_PREFIX = "mle_"
"""Prefix of every key, so that secret scanners recognise a leaked one."""
MAX_KEY_CHARACTERS = 512
"""A longer header is not a key; the rest of it is ignored."""
BOOTSTRAP = "bootstrap"
"""Id of the key set in the environment (`API_KEY`)."""
RANKS: dict[str, int] = {Scope.READ: 0, Scope.PREDICT: 1, Scope.ADMIN: 2}


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller: the key's id, its holder's name and its scope."""

    key_id: str
    name: str
    scope: str

    @property
    def is_authenticated(self) -> bool:
        """True, as Django and DRF expect of a signed-in user."""
        return True

    @property
    def is_anonymous(self) -> bool:
        """Never."""
        return False

    @property
    def pk(self) -> str:
        """Identifier of the caller for DRF and logs."""
        return self.key_id

    def includes(self, scope: str) -> bool:
        """Whether the key's scope includes another."""
        return RANKS[self.scope] >= RANKS[scope]


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key: its public prefix and the secret shown once."""

    prefix: str
    secret: str


def new_key() -> NewKey:
    """Generate a key: prefix, eight public characters and 256 secret bits."""
    prefix = KEY_PREFIX + secrets.token_hex(4)
    return NewKey(prefix, f"{prefix}_{secrets.token_urlsafe(32)}")


def digest_of(secret: str) -> str:
    """HMAC-SHA-256 of a key under the pepper, stored and looked up in its place.

    Spaces and tabs around a header's value do not belong to it (RFC 9110, 5.5).
    """
    return _digest_of(secret.strip(" \t")[:MAX_KEY_CHARACTERS], settings.API_KEY_PEPPER)


def is_bootstrap(digest: str) -> bool:
    """Whether the digest is that of `API_KEY`, compared in constant time."""
    given: str = settings.API_KEY
    return bool(given) and hmac.compare_digest(digest, digest_of(given))


@lru_cache(maxsize=256)
def _digest_of(secret: str, pepper: str) -> str:
    """Digest of a key, kept since the same few are sent again and again."""
    return hmac.digest(pepper.encode(), secret.encode("utf-8", "surrogatepass"), "sha256").hex()
