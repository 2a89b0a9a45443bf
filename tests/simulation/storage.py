"""Virtual database access and Redis with failures and crashes."""

from contextlib import contextmanager

import redis
from django.db import connection
from django.db.utils import OperationalError

ALWAYS = ("ROLLBACK", "RELEASE", "PRAGMA")


class Crash(SystemExit):
    """The process ends at this point."""


class Storage:
    """Layer between the engine's code and its database that injects failures.

    Parameters
    ----------
    world : World
        Source of time and randomness.
    effect : callable
        Called before (and after) every statement and commit; raises `Crash` to end the process there.
    meanwhile : callable
        Called where another thread could run: between statements outside a transaction (True) and inside (False).
    committed : callable
        Called after every commit of candles.
    """

    def __init__(self, world, effect, meanwhile, committed):
        self.world, self.effect, self.meanwhile, self.committed = world, effect, meanwhile, committed
        self.failing = 0.0  # share of statements that fail
        self._rng = world.rng("storage")
        self.statements = 0
        self._has_candles = False

    def __call__(self, execute, sql, params, many, context):
        """A Django execute wrapper."""
        if sql.startswith(ALWAYS):
            return execute(sql, params, many, context)
        self.statements += 1
        self.effect("statement")
        self._fail("the server closed the connection unexpectedly")
        # A transaction may hold a lock that the other thread would wait for, which is impossible in one thread.
        self.meanwhile(not connection.in_atomic_block and not sql.startswith("BEGIN"))
        self._has_candles |= sql.startswith("INSERT INTO candles")
        result = execute(sql, params, many, context)
        if not connection.in_atomic_block and not sql.startswith("SELECT"):
            self._report_commit()
            self.effect("committed")
        return result

    def commit(self, commit_function):
        """Commit; if it fails, in half of the cases it has been executed."""
        self.effect("commit")
        if self.failing and self._rng.random() < self.failing:
            if self._rng.random() < 0.5:
                commit_function()
                self._report_commit()
            raise OperationalError("the connection was lost during COMMIT")
        commit_function()
        self._report_commit()
        self.effect("committed")

    def _report_commit(self):
        if self._has_candles:
            self._has_candles = False
            self.committed()

    def _fail(self, words):
        if self.failing and self._rng.random() < self.failing:
            self.world.note("database fails")
            raise OperationalError(words)

    @contextmanager
    def installed(self):
        """Install this layer below the default connection inside the block."""
        original = connection._commit
        connection._commit = lambda: self.commit(original)
        connection.execute_wrappers.append(self)
        try:
            yield
        finally:
            connection.execute_wrappers.remove(self)
            del connection._commit


def drop_connection():
    """Close the connection without commit, as if its process had been killed."""
    if connection.connection is not None:
        connection.connection.close()
    connection.connection = None
    connection.in_atomic_block = connection.needs_rollback = connection.closed_in_transaction = False
    connection.savepoint_ids, connection.atomic_blocks, connection.run_on_commit = [], [], []
    connection.commit_on_exit = True


class VirtualRedis:
    """A Redis that records published messages and can fail before, during or after a pipeline."""

    def __init__(self, world, effect):
        self.world, self.effect = world, effect
        self.published = []
        self.is_away = False
        self.failing = 0.0
        self._rng = world.rng("redis")
        self._waiting = []

    def pipeline(self, transaction=True):
        self._waiting = []
        return self

    def publish(self, channel, payload):
        self._waiting.append((channel, payload))

    def execute(self):
        self.effect("send")
        if self.is_away:
            raise redis.ConnectionError("connection refused")
        fails = self.failing and self._rng.random() < self.failing
        passed = self._rng.randrange(len(self._waiting) + 1) if fails else len(self._waiting)
        for channel, payload in self._waiting[:passed]:
            self.published.append((self.world.now, channel, payload))
            self.world.note("publishes", channel, payload)
            self.effect("sent")
        if fails:
            raise redis.TimeoutError("timed out")
