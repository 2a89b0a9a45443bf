"""One embedded engine per state folder."""

import pytest

from mlengine_project.embedded.instance_lock import AlreadyRunning, InstanceLock


def test_second_instance_reports_the_running_process(tmp_path):
    first = InstanceLock(tmp_path)
    first.acquire("http://127.0.0.1:8000")
    with pytest.raises(AlreadyRunning, match=r"process \d+, http://127.0.0.1:8000"):
        InstanceLock(tmp_path).acquire("http://127.0.0.1:8001")
    first.release()
    InstanceLock(tmp_path).acquire("http://127.0.0.1:8001")


def test_lock_file_left_by_a_crash_does_not_block(tmp_path):
    (tmp_path / "up.lock").write_text('{"pid": 1, "url": "x"}')
    InstanceLock(tmp_path).acquire("http://127.0.0.1:8000")
