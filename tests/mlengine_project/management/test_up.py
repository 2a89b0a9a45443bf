"""`up` refuses an unusable address, and stops cleanly at any stage."""

import signal
import socket
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

import manage
from mlengine_project.celery import app
from mlengine_project.embedded.workers import EmbeddedBeat
from mlengine_project.management.commands.up import Command


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", None), ("127.0.0.1", 70_000), ("192.0.2.1", 0)])
def test_unusable_address_is_refused_before_anything_is_created(tmp_path, settings, host, port):
    settings.STATE_DIR = tmp_path
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1] if port is None else port
        with pytest.raises(CommandError, match=rf"cannot listen on {host}:{port} .*; write another --port"):
            call_command("up", host=host, port=port)
    assert [path.name for path in tmp_path.iterdir()] == ["up.lock"]


def test_beat_that_was_not_started_can_be_stopped():
    EmbeddedBeat(app).stop()


def test_signal_during_start_up_is_kept_and_a_second_one_ends_at_once(monkeypatch):
    started, reported = [], []
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(Command, "report_line", lambda _, sentence: reported.append(sentence))
    command = Command()
    command._request_stop()
    command._serve(None, SimpleNamespace(start=lambda: started.append(1)))
    assert (started, reported) == ([], ["stopped before anything was started"])
    with pytest.raises(KeyboardInterrupt):
        command._request_stop()


def test_interrupted_command_shows_no_traceback(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("mlengine_project.command_line.execute_from_command_line", interrupted)
    with pytest.raises(SystemExit, match="130"):
        manage.main()
    assert capsys.readouterr().err == "interrupted\n"
