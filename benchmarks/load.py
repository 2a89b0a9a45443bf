"""Load on an HTTP server: requests per second and latencies, by wrk where it is installed, else by asyncio."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

SCRIPT = """
wrk.method = %(method)s
wrk.body = %(body)s
%(headers)s
done = function(summary, latency, requests)
  local bad = summary.errors.connect + summary.errors.read + summary.errors.status + summary.errors.timeout
  io.write(string.format('\\nRESULT {"requests": %%d, "us": %%d, "p50_us": %%d, "p99_us": %%d, "failed": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), bad))
end
"""


@dataclass(frozen=True)
class Call:
    """One request, sent again and again."""

    method: str
    path: str
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """Result of one run; a failed request is one without an answer, or with a status of 400 or more."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


def run(port: int, call: Call, connections: int, seconds: float) -> Load:
    """Send a request over some connections, each as fast as it is answered."""
    if shutil.which("wrk"):
        return run_wrk(port, call, connections, seconds)
    return asyncio.run(run_asyncio(port, call, connections, seconds))


def run_wrk(port: int, call: Call, connections: int, seconds: float) -> Load:
    quoted = json.dumps  # plain ASCII texts are written alike in JSON and Lua
    headers = "\n".join(f"wrk.headers[{quoted(name)}] = {quoted(value)}" for name, value in call.headers.items())
    values = {"method": quoted(call.method), "body": quoted(call.body) if call.body else "nil", "headers": headers}
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT % values)
        script.flush()
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "10s", "-s", script.name]
        found = subprocess.run(
            [*words, f"http://127.0.0.1:{port}{call.path}"], capture_output=True, text=True, check=True
        )
    line = next(line for line in found.stdout.splitlines() if line.startswith("RESULT "))
    result = json.loads(line.removeprefix("RESULT "))
    return Load(
        round(1e6 * result["requests"] / result["us"], 1),
        result["p50_us"] / 1000,
        result["p99_us"] / 1000,
        result["failed"],
    )


async def run_asyncio(port: int, call: Call, connections: int, seconds: float) -> Load:
    lines = [f"{call.method} {call.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in call.headers.items()]
    lines += [f"Content-Length: {len(call.body)}"] if call.body else []
    message = ("\r\n".join([*lines, "", ""]) + call.body).encode()
    waits: list[float] = []
    failed = 0
    until = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal failed
        while time.perf_counter() < until:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                while time.perf_counter() < until:
                    begun = time.perf_counter()
                    writer.write(message)
                    failed += await status_of(reader) >= 400
                    waits.append(time.perf_counter() - begun)
                writer.close()
            except (OSError, asyncio.IncompleteReadError):
                failed += 1

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(connections)))
    took = time.perf_counter() - begun
    waits.sort()
    p50, p99 = (waits[int(len(waits) * share)] * 1000 for share in (0.5, 0.99))
    return Load(round(len(waits) / took, 1), p50, p99, failed)


async def status_of(reader: asyncio.StreamReader) -> int:
    """Read one answer with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    await reader.readexactly(length)
    return int(head[9:12])
