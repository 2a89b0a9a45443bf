"""API keys, the single-use tickets made from them, and addresses users signed in from. No secret is stored."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models


class Scope(models.TextChoices):
    """Scope of a key; each scope includes the ones before it."""

    READ = "read", "Read"
    PREDICT = "predict", "Predict"
    ADMIN = "admin", "Admin"


class ApiKey(models.Model):
    """An API key: its public prefix and the HMAC of the secret."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, help_text="Who holds it.")
    prefix = models.CharField(max_length=16, unique=True, help_text="The part that may be shown.")
    digest = models.CharField(max_length=64, unique=True, help_text="HMAC-SHA-256 of the key under the pepper.")
    scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.READ)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")
    rotated_to = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="rotated_from"
    )

    class Meta:
        """Newest first."""

        db_table = "api_keys"
        verbose_name = "API key"
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}...)"


class WebsocketTicket(models.Model):
    """A single-use websocket ticket, valid for 30 seconds."""

    digest = models.CharField(max_length=64, primary_key=True)
    key_id = models.CharField(max_length=64, help_text="The key that asked for it, or `bootstrap`.")
    scope = models.CharField(max_length=10, choices=Scope.choices)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    redeemed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Table options; rows are looked up by digest only."""

        db_table = "websocket_tickets"

    def __str__(self) -> str:
        return f"ticket of {self.key_id}"


class KnownAddress(models.Model):
    """An address a user signed in from; its attempts at that account have a limit of their own."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="known_addresses")
    network = models.CharField(max_length=64, help_text="One IPv4 address, or the /64 of an IPv6 address.")
    last_sign_in_at = models.DateTimeField()

    class Meta:
        """Unique by user and address."""

        db_table = "known_addresses"
        verbose_name_plural = "known addresses"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "network"], name="known_address_once"),
        ]

    def __str__(self) -> str:
        return f"{self.network} of user {self.user_id}"
