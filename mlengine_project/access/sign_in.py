"""The throttle of password sign-ins, wherever the form stands: by address, and by account from any address.

A device or an address that signed in to an account before has tries of its own for that account, so an attacker
elsewhere can neither use them up nor keep its owner out (decision 0032). Tries are counted before a password is
compared, so that parallel ones cannot slip through.
"""

import hashlib
import math
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from unfold.forms import AuthenticationForm as AdminAuthenticationForm

from marketdata import clock
from mlengine_project.access.models import KnownAddress
from mlengine_project.access.proxy import UNKNOWN, network_of
from mlengine_project.access.windows import window

TRIES_A_MINUTE = 20
"""Tries from one address, and tries at one account from all unknown addresses together."""
KNOWN_TRIES_A_MINUTE = 100
"""Tries at one account from one device or address that signed in to it before."""
DEVICE_COOKIE = "mlengine_device"
SALT = "mlengine.access.device"
REMEMBERED = timedelta(days=90)
ADDRESSES_OF_A_USER = 20

log = structlog.get_logger(__name__)


class Try:
    """One user name and password from one place, before and after they are compared."""

    def __init__(self, request: HttpRequest, user_name: str) -> None:
        self.request, self.user_name = request, user_name
        self.network = network_of(request.META.get("REMOTE_ADDR"))
        self.account = account_of(user_name)
        self.from_known_place = False

    def admitted(self) -> bool:
        """Take a place; False when the password may not even be looked at."""
        self.from_known_place = any(window.take(bucket, KNOWN_TRIES_A_MINUTE).admitted for bucket in self.known())
        return self.from_known_place or self.counted()

    def failed(self) -> bool:
        """Note a wrong password; False when the address or the account has had too many."""
        return not self.from_known_place or self.counted()

    def counted(self) -> bool:
        """Take a place of the address and one of the account; the request keeps how long to wait without."""
        for bucket in (f"sign-in:address:{self.network}", f"sign-in:account:{self.account}"):
            take = window.take(bucket, TRIES_A_MINUTE)
            if not take.admitted:
                seconds = max(1, math.ceil(take.reset_seconds))
                self.request.sign_in_wait_seconds = seconds  # type: ignore[attr-defined]  # read by the middleware
                log.warning("sign_in_throttled", address=self.network, retry_after_seconds=seconds)
                return False
        return True

    def known(self) -> list[str]:
        """Buckets only this device and this address can use up, where they signed in to the account before."""
        buckets = []
        device = device_of(self.request, self.account)
        if device:
            buckets.append(f"sign-in:device:{device}")
        since = clock.wall_now() - REMEMBERED
        addresses = KnownAddress.objects.filter(network=self.network, last_sign_in_at__gt=since)
        if addresses.filter(user__username=self.user_name).exists():
            buckets.append(f"sign-in:known:{self.account}:{self.network}")
        return buckets


class ThrottledForm(AuthenticationForm):
    """A sign-in form whose tries are counted."""

    def clean(self) -> dict[str, Any]:
        """Compare name and password, if the throttle admits it."""
        user_name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if self.request is None or not user_name or not password:
            return super().clean()
        attempt = Try(self.request, user_name)
        if not attempt.admitted():
            raise too_many(self.request)
        try:
            cleaned = super().clean()
        except ValidationError:
            if not attempt.failed():
                raise too_many(self.request) from None
            raise
        remember(self.request, self.get_user())
        return cleaned


class AdminSignInForm(ThrottledForm, AdminAuthenticationForm):
    """The same form for the admin, which lets in staff only."""


class SignInAnswers:
    """Gives refused sign-ins their status, and the browser of an admitted one its device cookie."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Act on what the form left on the request."""
        response: HttpResponseBase = self.get_response(request)
        seconds = getattr(request, "sign_in_wait_seconds", None)
        if seconds is not None:
            response.status_code = 429
            response["Retry-After"] = str(seconds)
        device = getattr(request, "known_device", None)
        if device is not None:
            response.set_cookie(
                DEVICE_COOKIE,
                device,
                max_age=REMEMBERED,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response


def remember(request: HttpRequest, user: Any) -> None:
    """Know the device and the address of a sign-in from now on."""
    account = account_of(user.get_username())
    device = device_of(request, account) or clock.new_id().hex
    request.known_device = signing.dumps([account, device], salt=SALT)  # type: ignore[attr-defined]
    network = network_of(request.META.get("REMOTE_ADDR"))
    if network == UNKNOWN:
        return
    now = clock.wall_now()
    KnownAddress.objects.update_or_create(user=user, network=network, defaults={"last_sign_in_at": now})
    newest_first = KnownAddress.objects.filter(user=user).order_by("-last_sign_in_at").values_list("pk", flat=True)
    KnownAddress.objects.filter(pk__in=list(newest_first[ADDRESSES_OF_A_USER:])).delete()


def device_of(request: HttpRequest, account: str) -> str:
    """The device's id where its cookie is for this account, else ''."""
    try:
        found = signing.loads(request.COOKIES.get(DEVICE_COOKIE, ""), salt=SALT, max_age=REMEMBERED)
    except signing.BadSignature:
        return ""
    return str(found[1]) if found[0] == account else ""


def account_of(user_name: str) -> str:
    """A user name as part of a bucket's name: of one length, whatever it holds.

    >>> account_of("ada")
    'fdee430d40bd57deeac1'
    """
    return hashlib.sha256(user_name.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def too_many(request: HttpRequest) -> ValidationError:
    """The refusal, in the form's words."""
    seconds = getattr(request, "sign_in_wait_seconds", 60)
    return ValidationError(f"Too many tries; wait {seconds} seconds.", code="throttled")
