"""A short run of the candle file fuzz test.

The long one is ``python -m tests.candle_files --files 5000``.
"""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis.extra.django import TestCase

from tests.candle_files.check import check
from tests.candle_files.plans import plans


class CandleFiles(TestCase):
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(plans())
    def test_every_file_is_imported_exactly_or_refused_with_a_position(self, plan):
        with tempfile.TemporaryDirectory() as folder:
            check(plan, Path(folder))
