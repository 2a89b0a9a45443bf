"""Progress output of commands."""

import io
import json

from django.core.management.base import OutputWrapper

from marketdata import clock
from modelregistry.management.progress import progress_output


class Log(io.StringIO):
    """A file that remembers what had been flushed."""

    seen = ""

    def flush(self):
        self.seen = self.getvalue()


def test_a_file_gets_a_flushed_line_per_step_with_percent_and_time_left(monkeypatch):
    seconds = iter([100.0, 130.0, 160.0])
    monkeypatch.setattr(clock, "monotonic", lambda: next(seconds))
    log, output = Log(), []
    with progress_output("training", as_json=False, write=output.append, errors=OutputWrapper(log)) as report_progress:
        report_progress(1, 4, "features")
        assert log.seen == "training  25%, 0:01:30 left  features\n"
        report_progress(2, 4, "fold 1 of 1")
        report_progress(4, 4, "written")
    assert log.seen.splitlines()[1:] == [
        "training  50%, 0:01:00 left  fold 1 of 1",
        "training 100%  written",
    ]
    assert output == [], "the command's own output stays machine-readable"


def test_a_program_gets_json_and_no_log_lines():
    log, output = Log(), []
    with progress_output("training", as_json=True, write=output.append, errors=OutputWrapper(log)) as report_progress:
        report_progress(1, 4, "features")
    assert [json.loads(line) for line in output] == [{"done": 1, "total": 4, "message": "features"}]
    assert log.getvalue() == ""
