"""Run the whole engine in one process."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser

from marketdata import clock
from marketdata.management.command import EngineCommand
from mlengine_project.checks import stop_on_errors
from mlengine_project.embedded import price_sources
from mlengine_project.embedded.first_run import Credentials, administrator, ensure_credentials
from mlengine_project.embedded.instance_lock import InstanceLock
from mlengine_project.http.protocol import LimitedHttpProtocol
from mlengine_project.http.websocket_protocol import ReadyFrameProtocol
from mlengine_project.operations.scheduling.schedule import install_schedule

GRACE_SECONDS = 5


class Command(EngineCommand):
    """Runs migrations, key, markets, candles, models, web, worker, beat and feed; Ctrl-C stops all."""

    help = "Run the whole engine in this process: no service, no network and no key are needed."
    requires_system_checks: list[str] = []  # after migrating, since some of them read the database
    stop_requested = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Address and feed."""
        parser.add_argument("--port", type=int, default=settings.API_PORT)
        parser.add_argument("--host", default=settings.API_HOST)
        parser.add_argument(
            "--feed",
            choices=["auto", "exchange", "simulator"],
            default="auto",
            help="auto: the exchange if it answers within 2 s, else the simulator; recorded at the first start.",
        )
        parser.add_argument("--data", default="", help="A candle file for the simulator to replay.")
        parser.add_argument("--speed", type=float, default=None, help="How fast simulated time runs (1 = real time).")
        parser.add_argument("--no-train", action="store_true", help="Do not train models when there are none.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Start everything in order and serve until stopped."""
        self.started_at = clock.monotonic()
        url = f"http://{options['host']}:{options['port']}"
        lock = InstanceLock(settings.STATE_DIR)
        lock.acquire(url)
        try:
            require_free(options["host"], options["port"])
            self._run(url, options)
        finally:
            lock.release()

    def report_line(self, sentence: str) -> None:
        """Print one line with the seconds since the start."""
        self.stdout.write(f"[{clock.monotonic() - self.started_at:6.1f} s] {sentence}")
        self.stdout.flush()

    def _handle_signals(self, handler: Callable[..., None]) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handler)

    def _request_stop(self, *_: Any) -> None:
        """Signal handler during start-up: stop after the current step, at once on a second signal."""
        if self.stop_requested:
            raise KeyboardInterrupt
        self.stop_requested = True

    def _run(self, url: str, options: dict[str, Any]) -> None:
        self._handle_signals(self._request_stop)
        call_command("migrate", interactive=False, verbosity=0)
        stop_on_errors()
        install_schedule()
        credentials = ensure_credentials()
        feed, changed = price_sources.choose(options["feed"], options["data"], options["speed"])
        _reduce_logging()
        self._print_addresses(url, credentials, feed)

        from mlengine_project.asgi import application
        from mlengine_project.embedded.engine import EmbeddedEngine

        engine = EmbeddedEngine(
            feed,
            settings.SUPPORTED_SYMBOLS,
            changed=changed,
            train=not options["no_train"],
            report_line=self.report_line,
        )
        server = uvicorn.Server(
            uvicorn.Config(
                application,
                host=options["host"],
                port=options["port"],
                http=LimitedHttpProtocol,
                ws=ReadyFrameProtocol,
                ws_max_size=64 * 1024,
                ws_per_message_deflate=False,
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._serve(server, engine)

    def _print_addresses(self, url: str, credentials: Credentials, feed: price_sources.Feed) -> None:
        from mlengine_project.console.sign_in import one_time_link

        lines = [f"console   {url}/", f"admin     {url}/admin/", f"API docs  {url}/docs"]
        if (user := administrator()) is not None:
            lines.append(f"sign in   {one_time_link(url, user)}   (once, within ten minutes)")
        if credentials.admin_password:
            lines.append(f"admin user `admin`, password {credentials.admin_password}   (shown this once)")
        if credentials.api_key:
            lines.append(f"API key   {credentials.api_key}   (shown this once)")
        else:
            lines.append(f"API key   {credentials.key_hint}")
        if feed.kind == "simulator":
            lines.append("Prices are simulated: " + (f"replayed from {feed.path}" if feed.path else "invented") + ".")
        else:
            lines.append(f"Prices are those of {settings.BINANCE_API_URL}.")
        self.stdout.write("\n".join(lines))
        self.stdout.flush()

    def _serve(self, server: uvicorn.Server, engine: Any) -> None:
        """Serve in the main thread; a first signal stops cleanly, a second one at once."""

        def on_signal(*_: Any) -> None:
            engine.stopping.set()
            server.force_exit = server.should_exit
            server.should_exit = True

        self._handle_signals(on_signal)
        if self.stop_requested:
            self.report_line("stopped before anything was started")
            return
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
        threading.Thread(target=self._announce, args=(server,), daemon=True).start()
        engine.start()
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(server.serve())
        except SystemExit as error:  # raised by uvicorn when the port is in use
            self.report_line(f"cannot listen on {server.config.host}:{server.config.port}; write another --port")
            raise CommandError("the address is in use or not allowed", returncode=1) from error
        finally:
            self.report_line("stopping")
            engine.stop()
            self.report_line("stopped")

    def _announce(self, server: uvicorn.Server) -> None:
        while not server.started and not server.should_exit:
            threading.Event().wait(0.05)
        if server.started:
            self.report_line(f"listening on http://{server.config.host}:{server.config.port}; Ctrl-C stops")


def require_free(host: str, port: int) -> None:
    """Refuse an unusable address before anything is created or a secret is shown."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"cannot listen on {host}:{port} ({reason}); write another --port or --host") from error


def _reduce_logging() -> None:
    """Reduce the logging of libraries on the terminal; LOG_LEVEL=DEBUG shows everything."""
    if settings.LOG_LEVEL != "DEBUG":
        for name, level in {
            "celery": "WARNING",
            "kombu": "ERROR",
            "uvicorn": "WARNING",
            "mlengine.requests": "WARNING",
        }.items():
            logging.getLogger(name).setLevel(level)


def _loop_factory() -> Any:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
