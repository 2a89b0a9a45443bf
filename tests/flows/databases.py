"""Private databases on the PostgreSQL of DATABASE_URL, and management commands on them."""

import os
import subprocess
import sys
import uuid
from contextlib import contextmanager

import psycopg
import pytest

from tests.flows.processes import ROOT


@contextmanager
def new_database():
    """The address of an empty database; dropped afterwards."""
    url, name = os.environ["DATABASE_URL"], f"own_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    try:
        yield url.rsplit("/", 1)[0] + f"/{name}"
    finally:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def tables(url, schema):
    """Every table of a schema with its rows."""
    with psycopg.connect(url) as database:
        names = database.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]).fetchall()
        return {
            name: sorted(map(str, database.execute(f'SELECT * FROM {schema}."{name}"').fetchall())) for (name,) in names
        }


def manage(environment, *words, project=ROOT, succeeds=True):
    """Run a command of a Django project and return its output."""
    ended = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": "", "MLENGINE_ENV_FILE": "", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    output = ended.stdout + ended.stderr
    if succeeds != (ended.returncode == 0):
        pytest.fail(f"manage.py {' '.join(words)} ended with {ended.returncode}:\n{output[-4000:]}")
    return output
