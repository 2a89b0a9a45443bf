# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy PYTHONDONTWRITEBYTECODE=1
RUN pip install --no-cache-dir uv
WORKDIR /srv/mlengine
COPY pyproject.toml ./
RUN uv sync --no-dev
COPY . .
RUN uv run --no-sync manage.py collectstatic --no-input && rm -rf data

FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 mlengine
WORKDIR /srv/mlengine
COPY --from=build --chown=root:root /srv/mlengine /srv/mlengine
# Writable: only the state folder (generated secrets), the model volume and the archive volume.
RUN mkdir -p /srv/mlengine/data /models /archive && chown mlengine:mlengine /srv/mlengine/data /models /archive
USER mlengine
# Without a limit glibc keeps a heap for each request thread, which grows to that of its largest request.
ENV PATH=/srv/mlengine/.venv/bin:$PATH PYTHONUNBUFFERED=1 MODEL_PATH=/models API_HOST=0.0.0.0 OMP_NUM_THREADS=1 \
    MALLOC_ARENA_MAX=2
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=90s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
# uvicorn includes a worker's start-up in its first health check; its default of 5 s ends workers on a busy machine.
CMD ["uvicorn", "mlengine_project.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--workers", "4", \
     "--no-proxy-headers", "--no-server-header", "--no-access-log", "--http", "mlengine_project.http.protocol:LimitedHttpProtocol", "--ws", "mlengine_project.http.websocket_protocol:ReadyFrameProtocol", "--ws-max-size", "65536", "--ws-per-message-deflate", "false", "--timeout-graceful-shutdown", "10", "--timeout-worker-healthcheck", "60"]
