"""What a key looks like and how it is told apart from every other. Nothing here touches the database."""

import hmac
import secrets
from dataclasses import dataclass

from django.conf import settings

from mlengine_project.access.models import Scope

MARK = "mle_"
"""Every key begins with it, so that a scanner finds a leaked one."""
LONGEST = 512
"""A longer header is no key; its tail is not even read."""
BOOTSTRAP = "bootstrap"
"""The id of the key given in the environment."""
RANKS = {Scope.READ: 0, Scope.PREDICT: 1, Scope.ADMIN: 2}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling: the key's id, its holder's name and what it may do."""

    key_id: str
    name: str
    scope: str

    @property
    def is_authenticated(self) -> bool:
        """Holders of a key are known, as Django and DRF ask it."""
        return True

    @property
    def is_anonymous(self) -> bool:
        """Never."""
        return False

    @property
    def pk(self) -> str:
        """The name DRF and logs know a caller by."""
        return self.key_id

    def may(self, scope: str) -> bool:
        """Whether the key's scope includes another."""
        return RANKS[Scope(self.scope)] >= RANKS[Scope(scope)]


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it is shown once: the public part and the whole."""

    prefix: str
    secret: str


def new_key() -> NewKey:
    """Draw a key: the mark, eight public characters and 256 secret bits."""
    prefix = MARK + secrets.token_hex(4)
    return NewKey(prefix, f"{prefix}_{secrets.token_urlsafe(32)}")


def digest_of(secret: str) -> str:
    """HMAC-SHA-256 under the pepper: what is stored and looked up instead of the key.

    Blanks and tabs around a header's value are no part of it (RFC 9110, 5.5).
    """
    raw = secret.strip(" \t")[:LONGEST].encode("utf-8", "surrogatepass")
    return hmac.new(settings.API_KEY_PEPPER.encode(), raw, "sha256").hexdigest()


def is_bootstrap(digest: str) -> bool:
    """Whether the digest is that of the environment's key, in constant time."""
    return bool(settings.API_KEY) and hmac.compare_digest(digest, digest_of(settings.API_KEY))
