"""The shape of a websocket ticket."""

from rest_framework import serializers


class TicketSerializer(serializers.Serializer):
    """A single-use pass to `/ws/signals`, sent there in the first message."""

    ticket = serializers.CharField()
    expires_at = serializers.DateTimeField()
