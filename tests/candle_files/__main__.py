"""Candle files in every form users write: is each imported to the last digit, or refused with its place?

    uv run python -m tests.candle_files --files 5000 --json [--seed 1]

Files are drawn by hypothesis and written by pandas, polars and the csv module: dialects, types, orders, units, names
of columns, packings, and in half of them one damage. Each goes through the import into a database of its own (SQLite
in a temporary folder) and is compared with what was written, digit by digit. The smallest file that differs is
printed; the last line is one JSON object; the exit status is 1 after a difference.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is JSON anyway")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as state:
        os.environ.pop("DATABASE_URL", None)
        os.environ.pop("REDIS_URL", None)
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "mlengine_project.settings",
            "MLENGINE_STATE_DIR": state,
            "MLENGINE_ENV_FILE": "",
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        return fuzz(options.files, options.seed, Path(state))


def fuzz(files: int, seed: int, folder: Path) -> int:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from marketdata.progress import shown
    from tests.candle_files.check import check
    from tests.candle_files.plans import plans

    counts: Counter[str] = Counter()
    writers: Counter[str] = Counter()
    begun = time.monotonic()
    with shown("files", sys.stderr) as report:

        @seeded(seed)
        @settings(
            max_examples=files,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(plans())
        def every(plan) -> None:
            counts[check(plan, folder)] += 1
            writers[plan.writer] += 1
            report(sum(counts.values()), files)

        problem = ""
        try:
            every()
        except Exception as error:
            import traceback

            traceback.print_exc()
            problem = f"{type(error).__name__}: {error}"[:2000]
    result = {"files": sum(counts.values()), **counts, "differences": int(bool(problem)), "writers": dict(writers)}
    print(json.dumps({**result, "problem": problem, "seed": seed, "seconds": round(time.monotonic() - begun, 1)}))
    return int(bool(problem))


if __name__ == "__main__":
    sys.exit(main())
