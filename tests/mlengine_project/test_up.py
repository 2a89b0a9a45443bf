"""`up` refuses an address it cannot have, and stops cleanly however far it came."""

import socket

import pytest
from django.core.management import CommandError, call_command

from mlengine_project.celery import app
from mlengine_project.embedded import EmbeddedBeat


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", None), ("127.0.0.1", 70_000), ("192.0.2.1", 0)])
def test_an_address_it_cannot_have_is_refused_before_anything_is_made(tmp_path, settings, host, port):
    settings.STATE_DIR = tmp_path
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1] if port is None else port
        with pytest.raises(CommandError, match=rf"cannot listen on {host}:{port} .*; write another --port"):
            call_command("up", host=host, port=port)
    assert [path.name for path in tmp_path.iterdir()] == ["up.lock"]


def test_a_beat_that_never_began_can_be_stopped():
    EmbeddedBeat(app).stop()
