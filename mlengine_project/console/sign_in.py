"""A link that signs one person in once, for whoever can read the terminal that printed it."""

from typing import Any

from django.contrib.auth import get_user_model, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpRequest

from marketdata import clock
from mlengine_project.access.sign_in import remember

SALT = "mlengine.console.sign-in"
VALID_SECONDS = 600
BACKEND = "django.contrib.auth.backends.ModelBackend"


def _spent_mark(user: User) -> str:
    """Changes at every sign-in, which is what makes a link good for one use."""
    return user.last_login.isoformat() if user.last_login else ""


def one_time_token(user: User) -> str:
    """Make a token that signs `user` in once within ten minutes; any sign-in before that spends it."""
    return signing.dumps(
        {"user": user.pk, "spent": _spent_mark(user), "until": clock.wall_ms() + VALID_SECONDS * 1000}, salt=SALT
    )


def one_time_link(base_url: str, user: User) -> str:
    """Make the address to print: `base_url` plus a one-time token."""
    return f"{base_url.rstrip('/')}/console/sign-in/{one_time_token(user)}"


def readable(token: str) -> bool:
    """Whether the token is ours and not past its ten minutes; says nothing about it being spent."""
    return _claims(token) is not None


def redeem(request: HttpRequest, token: str) -> AbstractBaseUser | None:
    """Sign in the user of a token, or return None when it is forged, late or already used."""
    claims = _claims(token)
    if claims is None:
        return None
    users = get_user_model()._default_manager  # noqa: SLF001 - Django's public name for "the" manager
    user = users.filter(pk=claims["user"], is_active=True).first()
    if user is None or _spent_mark(user) != claims["spent"]:
        return None
    # One conditional update decides between two browsers holding the same link.
    unspent = users.filter(pk=user.pk, last_login=user.last_login)
    if not unspent.update(last_login=clock.wall_now()):
        return None
    login(request, user, backend=BACKEND)
    remember(request, user)
    return user


def _claims(token: str) -> dict[str, Any] | None:
    try:
        claims = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        return None
    return dict(claims) if claims["until"] > clock.wall_ms() else None
