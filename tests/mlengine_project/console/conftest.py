"""The moment the pages are looked at: two seconds after a close."""

import pytest

from marketdata import clock
from mlengine_project.access.windows import window
from tests.mlengine_project.console.rows import BEGIN


@pytest.fixture(autouse=True)
def just_after_a_close(settings):
    settings.ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
    window.clear()
    with clock.use(clock.FrozenClock(BEGIN + 2_000)) as frozen:
        yield frozen
