"""Request threads: their number, their use by requests, and their release."""

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections

from mlengine_project.http.request_threads import THREAD, RequestThreads

COUNT = 4


class Work:
    """An ASGI application that runs in the request's thread and records it."""

    def __init__(self):
        self.threads, self.go_on = [], threading.Event()

    def step(self, method):
        self.threads.append(threading.current_thread().name)
        if method == "POST":
            assert self.go_on.wait(20)

    async def __call__(self, scope, receive, send):
        await asyncio.get_running_loop().run_in_executor(scope[THREAD], self.step, scope["method"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def request(layer, method="GET", path="/", send=None):
    answered = []

    async def record_message(message):
        answered.append(message)

    await layer({"type": "http", "method": method, "path": path}, None, send or record_message)
    return answered


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def work():
    work = Work()
    yield work
    work.go_on.set()


async def test_threads_are_reused(work):
    layer = RequestThreads(work, COUNT)
    for _ in range(5):
        await asyncio.gather(*(request(layer) for _ in range(20)))
    assert len(work.threads) == 100
    assert len(set(work.threads)) <= COUNT
    one_by_one = len(work.threads)
    for _ in range(10):
        await request(layer)
    assert len(set(work.threads[one_by_one:])) == 1, "the thread used last is taken first"


async def test_slow_writes_do_not_block_reads_and_probes(work):
    layer = RequestThreads(work, COUNT)
    writes = [asyncio.create_task(request(layer, "POST")) for _ in range(20)]
    await until(lambda: len(work.threads) == COUNT // 2)
    async with asyncio.timeout(5):
        await asyncio.gather(*(request(layer) for _ in range(20)))
    work.go_on.set()
    await asyncio.gather(*writes)
    assert len(work.threads) == 40


async def test_probes_answer_while_every_thread_works(work):
    layer = RequestThreads(work, COUNT)
    layer.writing = asyncio.Semaphore(COUNT)
    writes = [asyncio.create_task(request(layer, "POST")) for _ in range(COUNT)]
    await until(lambda: len(work.threads) == COUNT)
    async with asyncio.timeout(5):
        await request(layer, path="/health")
        await request(layer, path="/health/ready")
    work.go_on.set()
    await asyncio.gather(*writes)


async def test_slow_reader_does_not_hold_a_thread(work):
    layer, reading = RequestThreads(work, COUNT), asyncio.Event()

    async def slowly(_message):
        await reading.wait()

    slow = [asyncio.create_task(request(layer, send=slowly)) for _ in range(10)]
    await until(lambda: len(work.threads) == 10)
    async with asyncio.timeout(5):
        await request(layer)
    reading.set()
    await asyncio.gather(*slow)


async def test_thread_of_a_disconnected_caller_is_released_when_its_request_ends(work):
    layer = RequestThreads(work, COUNT)
    writes = [asyncio.create_task(request(layer, "POST")) for _ in range(5)]
    await until(lambda: len(work.threads) == COUNT // 2)
    for write in writes:
        write.cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    late = asyncio.create_task(request(layer, "POST"))
    await asyncio.sleep(0.1)
    assert len(work.threads) == COUNT // 2, (
        "both threads still run requests of disconnected callers; the others left the queue"
    )
    work.go_on.set()
    await late
    assert len(work.threads) == COUNT // 2 + 1


async def test_failed_request_releases_its_thread():
    async def failing(_scope, _receive, _send):
        raise LookupError("nothing")

    layer = RequestThreads(failing, 2)
    for method in ["GET", "POST"] * 5:
        with pytest.raises(LookupError):
            await request(layer, method)
    assert len(layer.threads.idle) == 2
    assert not layer.writing.locked()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
async def test_each_thread_has_one_connection_and_closes_an_old_one(settings):
    def backend():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0]

    pids = []

    async def application(scope, _receive, send):
        pids.append(await asyncio.get_running_loop().run_in_executor(scope[THREAD], backend))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def active_connections():
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", [list(set(pids))])
            return cursor.fetchone()[0]

    layer = RequestThreads(application, COUNT)
    for _ in range(10):
        await asyncio.gather(*(request(layer) for _ in range(10)))
    assert len(pids) == 100
    assert len(set(pids)) <= COUNT
    assert await sync_to_async(active_connections)() == len(set(pids))

    def expire():
        connections["default"].close_at = 0.0

    for thread in layer.threads.idle:
        await asyncio.wrap_future(thread.submit(expire))
    layer.threads.close_old()
    for thread in layer.threads.idle:
        await asyncio.wrap_future(thread.submit(lambda: None))
    await asyncio.sleep(0.2)  # the server closes its side a moment later
    assert await sync_to_async(active_connections)() == 0
    await sync_to_async(connections.close_all)()
