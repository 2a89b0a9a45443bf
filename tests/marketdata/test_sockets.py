"""The sockets' thread ends when it is told to, whatever the libraries below make of it."""

import asyncio

from marketdata import sockets


async def test_a_cancellation_that_is_swallowed_is_repeated(monkeypatch):
    monkeypatch.setattr(sockets, "CANCEL_AGAIN_SECONDS", 0.01)
    swallowed = []

    async def deaf():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if len(swallowed) == 2:
                    raise
                swallowed.append(True)

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await sockets._end(task)
    assert task.cancelled()
    assert len(swallowed) == 2
