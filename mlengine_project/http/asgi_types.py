"""Types of an ASGI application and its arguments."""

from collections.abc import Awaitable, Callable
from typing import Any

AsgiScope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[AsgiScope, Receive, Send], Awaitable[None]]
