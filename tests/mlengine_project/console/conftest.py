"""Page tests run two seconds after a close, without earlier sign-in attempts."""

import pytest

from marketdata import clock
from tests.mlengine_project.buckets import empty_buckets
from tests.mlengine_project.console.rows import BEGIN


@pytest.fixture(autouse=True)
def just_after_a_close(settings):
    settings.ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
    empty_buckets()
    with clock.use(clock.FrozenClock(BEGIN + 2_000)) as frozen:
        yield frozen
