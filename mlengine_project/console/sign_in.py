"""One-time sign-in links, printed on the terminal of `up`."""

from typing import Any

from django.contrib.auth import get_user_model, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpRequest

from marketdata import clock
from mlengine_project.access.sign_in import record_sign_in

SALT = "mlengine.console.sign-in"
VALID_SECONDS = 600
BACKEND = "django.contrib.auth.backends.ModelBackend"


def _use_marker(user: User) -> str:
    """A value that changes at every sign-in, so that a link works once."""
    return user.last_login.isoformat() if user.last_login else ""


def one_time_token(user: User) -> str:
    """A token that signs `user` in once within ten minutes; any earlier sign-in invalidates it."""
    return signing.dumps(
        {"user": user.pk, "spent": _use_marker(user), "until": clock.wall_ms() + VALID_SECONDS * 1000}, salt=SALT
    )


def one_time_link(base_url: str, user: User) -> str:
    """The sign-in link: `base_url` with a one-time token."""
    return f"{base_url.rstrip('/')}/console/sign-in/{one_time_token(user)}"


def is_valid(token: str) -> bool:
    """Whether the token is authentic and not expired; it may have been used already."""
    return _claims(token) is not None


def redeem(request: HttpRequest, token: str) -> AbstractBaseUser | None:
    """Sign in the user of a token; None when it is forged, expired or used."""
    claims = _claims(token)
    if claims is None:
        return None
    users = get_user_model()._default_manager  # noqa: SLF001 - Django's public name for "the" manager
    user = users.filter(pk=claims["user"], is_active=True).first()
    if user is None or _use_marker(user) != claims["spent"]:
        return None
    # One conditional update decides between two browsers with the same link.
    unspent = users.filter(pk=user.pk, last_login=user.last_login)
    if not unspent.update(last_login=clock.wall_now()):
        return None
    login(request, user, backend=BACKEND)
    record_sign_in(request, user)
    return user


def _claims(token: str) -> dict[str, Any] | None:
    try:
        claims = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        return None
    return dict(claims) if claims["until"] > clock.wall_ms() else None
