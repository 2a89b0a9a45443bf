"""Tasks of the websocket thread end even if a library loses a cancellation."""

import asyncio

from marketdata.feed import sockets


async def test_a_lost_cancellation_is_repeated(monkeypatch):
    monkeypatch.setattr(sockets, "CANCEL_AGAIN_SECONDS", 0.01)
    lost = []

    async def stubborn():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if len(lost) == 2:
                    raise
                lost.append(True)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await sockets._cancel_all(task)
    assert task.cancelled()
    assert len(lost) == 2
