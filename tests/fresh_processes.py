"""Scripts in new processes that begin with the large libraries imported.

Importing them takes most of the two seconds of a command. A server process (``python -m tests.fresh_processes``)
imports them once and forks for each script. It imports nothing that depends on settings, so that every script reads
its own from its environment.
"""

import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = (
    "celery", "django.contrib.postgres.fields", "django.core.management", "django.test", "jsonschema", "kombu", "numpy",
    "prometheus_client", "psycopg", "pygments", "redis.asyncio", "requests", "rest_framework.compat", "rich", "structlog",
    "xgboost", "yaml",
)  # fmt: skip


def run_script(script, *arguments, environment, cwd=ROOT):
    """Run a script with these arguments and this whole environment; returns its CompletedProcess."""
    server = _server()
    with tempfile.TemporaryDirectory() as folder:
        written = [Path(folder) / name for name in ("stdout", "stderr")]
        request = [str(script), arguments, environment, str(cwd), [str(path) for path in written]]
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess([str(script), *arguments], code, *(path.read_text() for path in written))


@cache
def _server():
    """The server of this test process; it ends with the pipe to it."""
    words = [sys.executable, "-W", "ignore", "-m", "tests.fresh_processes"]
    return subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def serve():
    """Fork for each request, and answer with the exit code."""
    for library in LIBRARIES:
        importlib.import_module(library)
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            os._exit(_run(*json.loads(line)))
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


def _run(script, arguments, environment, cwd, written):
    """Run the script in this process; returns its exit code."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(written, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    code = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            sys.stderr.write(f"{code}\n")
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve()
