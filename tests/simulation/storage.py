"""Database and Redis as a process sees them: every statement, commit and send can fail, kill, or let others go first."""

from contextlib import contextmanager

import redis
from django.db import connection
from django.db.utils import OperationalError

ALWAYS = ("ROLLBACK", "RELEASE", "PRAGMA")


class Crash(SystemExit):
    """The process is gone at this very point; nothing after it happens."""


class Storage:
    """What stands between the engine's code and its database.

    Parameters
    ----------
    world, dice
        Time and chance.
    effect : callable
        Told of every statement and commit before (and after) it happens; raises `Crash` to end the process there.
    meanwhile : callable
        Called where another thread could run: between statements outside a transaction (True) and inside (False).
    committed : callable
        Called after every commit of candles.
    """

    def __init__(self, world, effect, meanwhile, committed):
        self.world, self.effect, self.meanwhile, self.committed = world, effect, meanwhile, committed
        self.failing = 0.0  # share of statements that fail
        self._dice = world.dice("storage")
        self.statements = 0
        self._has_candles = False

    def __call__(self, execute, sql, params, many, context):
        """A Django execute wrapper."""
        if sql.startswith(ALWAYS):
            return execute(sql, params, many, context)
        self.statements += 1
        self.effect("statement")
        self._fail("the server closed the connection unexpectedly")
        # Who begins a transaction may hold a lock that another thread would wait for, and this one cannot.
        self.meanwhile(not connection.in_atomic_block and not sql.startswith("BEGIN"))
        self._has_candles |= sql.startswith("INSERT INTO candles")
        result = execute(sql, params, many, context)
        if not connection.in_atomic_block and not sql.startswith("SELECT"):
            self._tell()
            self.effect("committed")
        return result

    def commit(self, really):
        """A commit; where it fails, half the time it has happened all the same."""
        self.effect("commit")
        if self.failing and self._dice.random() < self.failing:
            if self._dice.random() < 0.5:
                really()
                self._tell()
            raise OperationalError("the connection was lost during COMMIT")
        really()
        self._tell()
        self.effect("committed")

    def _tell(self):
        if self._has_candles:
            self._has_candles = False
            self.committed()

    def _fail(self, words):
        if self.failing and self._dice.random() < self.failing:
            self.world.note("database fails")
            raise OperationalError(words)

    @contextmanager
    def under(self):
        """Stand under the default connection for a while."""
        really = connection._commit
        connection._commit = lambda: self.commit(really)
        connection.execute_wrappers.append(self)
        try:
            yield
        finally:
            connection.execute_wrappers.remove(self)
            del connection._commit


def drop_connection():
    """What is left of a connection when its process is killed: nothing, and nothing uncommitted."""
    if connection.connection is not None:
        connection.connection.close()
    connection.connection = None
    connection.in_atomic_block = connection.needs_rollback = connection.closed_in_transaction = False
    connection.savepoint_ids, connection.atomic_blocks, connection.run_on_commit = [], [], []
    connection.commit_on_exit = True


class VirtualRedis:
    """A Redis that remembers what was published; away, it fails before, in the middle of or after a pipeline."""

    def __init__(self, world, effect):
        self.world, self.effect = world, effect
        self.published = []
        self.is_away = False
        self.failing = 0.0
        self._dice = world.dice("redis")
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
        fails = self.failing and self._dice.random() < self.failing
        passed = self._dice.randrange(len(self._waiting) + 1) if fails else len(self._waiting)
        for channel, payload in self._waiting[:passed]:
            self.published.append((self.world.now, channel, payload))
            self.world.note("publishes", channel, payload)
            self.effect("sent")
        if fails:
            raise redis.TimeoutError("timed out")
