"""Throttling of password sign-ins by address, and by account from any address.

A device or an address that signed in to an account before has a limit of its own for that account, so an attacker
elsewhere can neither exhaust it nor lock the owner out (decision 0032). Attempts are counted before the password is
compared, so that parallel attempts are counted too.
"""

import hashlib
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from unfold.forms import AuthenticationForm as AdminAuthenticationForm

from marketdata import clock
from mlengine_project.access.models import KnownAddress
from mlengine_project.access.proxy import UNKNOWN, network_of
from mlengine_project.access.sliding_window import window

ATTEMPTS_PER_MINUTE = 20
"""Attempts from one address, and attempts at one account from all unknown addresses together."""
KNOWN_ATTEMPTS_PER_MINUTE = 100
"""Attempts at one account from one device or address that signed in to it before."""
DEVICE_COOKIE = "mlengine_device"
SALT = "mlengine.access.device"
DEVICE_LIFETIME = timedelta(days=90)
MAX_ADDRESSES_PER_USER = 20

log = structlog.get_logger(__name__)


class SignInAttempt:
    """One sign-in attempt, counted before the password is compared and again on failure."""

    def __init__(self, request: HttpRequest, user_name: str) -> None:
        self.request, self.user_name = request, user_name
        self.network = network_of(request.META.get("REMOTE_ADDR"))
        self.account = account_of(user_name)
        self.is_known = False

    def admit(self) -> bool:
        """Count the attempt; False when the password must not be compared."""
        takes = (window.take(bucket, KNOWN_ATTEMPTS_PER_MINUTE) for bucket in self.known_buckets())
        self.is_known = any(take.admitted for take in takes)
        return self.is_known or self.take_places()

    def failed(self) -> bool:
        """Count a wrong password; False when the address or the account is over its limit."""
        return not self.is_known or self.take_places()

    def take_places(self) -> bool:
        """Count one attempt of the address and the account; over the limit the wait is set on the request."""
        for bucket in (f"sign-in:address:{self.network}", f"sign-in:account:{self.account}"):
            take = window.take(bucket, ATTEMPTS_PER_MINUTE)
            if not take.admitted:
                seconds = max(1, math.ceil(take.reset_seconds))
                self.request.sign_in_wait_seconds = seconds  # type: ignore[attr-defined]  # read by the middleware
                log.warning("sign_in_throttled", address=self.network, retry_after_seconds=seconds)
                return False
        return True

    def known_buckets(self) -> list[str]:
        """Buckets of this device and this address, where they signed in to the account before."""
        buckets = []
        device = device_of(self.request, self.account)
        if device:
            buckets.append(f"sign-in:device:{device}")
        since = clock.wall_now() - DEVICE_LIFETIME
        addresses = KnownAddress.objects.filter(network=self.network, last_sign_in_at__gt=since)
        if addresses.filter(user__username=self.user_name).exists():
            buckets.append(f"sign-in:known:{self.account}:{self.network}")
        return buckets


class ThrottledForm(AuthenticationForm):
    """A sign-in form whose attempts are throttled."""

    def clean(self) -> dict[str, Any]:
        """Compare name and password, unless throttled."""
        user_name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if self.request is None or not user_name or not password:
            return super().clean()
        attempt = SignInAttempt(self.request, user_name)
        if not attempt.admit():
            raise too_many_attempts(self.request)
        try:
            cleaned = super().clean()
        except ValidationError:
            if not attempt.failed():
                raise too_many_attempts(self.request) from None
            raise
        record_sign_in(self.request, self.get_user())
        return cleaned


class AdminSignInForm(ThrottledForm, AdminAuthenticationForm):
    """The same form for the admin, which admits staff only."""


class SignInResponses:
    """Middleware that sets status 429 of throttled sign-ins and the device cookie of successful ones."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Apply what the form set on the request."""
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
                max_age=DEVICE_LIFETIME,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response


def record_sign_in(request: HttpRequest, user: User) -> None:
    """Record the device and the address of a successful sign-in."""
    account = account_of(user.get_username())
    device = device_of(request, account) or clock.new_id().hex
    request.known_device = signing.dumps([account, device], salt=SALT)  # type: ignore[attr-defined]
    network = network_of(request.META.get("REMOTE_ADDR"))
    if network == UNKNOWN:
        return
    now = clock.wall_now()
    KnownAddress.objects.update_or_create(user=user, network=network, defaults={"last_sign_in_at": now})
    newest_first = KnownAddress.objects.filter(user=user).order_by("-last_sign_in_at").values_list("pk", flat=True)
    KnownAddress.objects.filter(pk__in=list(newest_first[MAX_ADDRESSES_PER_USER:])).delete()


def device_of(request: HttpRequest, account: str) -> str:
    """The device id of the cookie if it is for this account, else ''."""
    try:
        found = signing.loads(request.COOKIES.get(DEVICE_COOKIE, ""), salt=SALT, max_age=DEVICE_LIFETIME)
    except signing.BadSignature:
        return ""
    return str(found[1]) if found[0] == account else ""


def account_of(user_name: str) -> str:
    """Hash of a user name, for use in bucket names.

    >>> account_of("ada")
    'fdee430d40bd57deeac1'
    """
    return hashlib.sha256(user_name.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def too_many_attempts(request: HttpRequest) -> ValidationError:
    """The form error of a throttled sign-in."""
    seconds = getattr(request, "sign_in_wait_seconds", 60)
    return ValidationError(f"Too many attempts; wait {seconds} seconds.", code="throttled")
