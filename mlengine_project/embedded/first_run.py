"""Credentials created by the first `up`: an admin API key and an admin user."""

import secrets
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model

from mlengine_project.access import services
from mlengine_project.access.models import ApiKey, Scope

KEY_NAME = "up"
ADMIN_NAME = "admin"


@dataclass(frozen=True)
class Credentials:
    """Newly created credentials; empty where they existed already."""

    api_key: str = ""
    key_hint: str = ""
    admin_password: str = ""


def ensure_credentials() -> Credentials:
    """Create missing credentials and return their secrets, which are not stored."""
    password = ""
    if not get_user_model().objects.filter(is_superuser=True).exists():
        password = secrets.token_urlsafe(12)
        get_user_model().objects.create_superuser(username=ADMIN_NAME, email="", password=password)
    if settings.API_KEY:
        return Credentials(key_hint="the one in API_KEY", admin_password=password)
    existing = ApiKey.objects.filter(name=KEY_NAME, revoked_at__isnull=True).first()
    if existing is not None:
        return Credentials(key_hint=f"{existing.prefix}... (shown once, at the first start)", admin_password=password)
    _, secret = services.create_key(name=KEY_NAME, scope=Scope.ADMIN)
    return Credentials(api_key=secret, admin_password=password)


def administrator() -> Any:
    """The user of the sign-in link of `up`."""
    return get_user_model().objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
