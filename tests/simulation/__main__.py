"""A thousand days of faults: ``uv run python -m tests.simulation --seeds 1000 --json``."""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

KINDS = ("lost", "duplicated", "wrong", "open_as_closed", "late", "unexplained")
_template = None


def _begin(folder):
    """In a process of its own: a database to copy, and Django."""
    global _template  # noqa: PLW0603
    from tests.simulation.setting import prepare

    own = Path(folder) / str(os.getpid())
    own.mkdir()
    _template = prepare(own)


def _one(seed, trace=None):
    from tests.simulation.run import Outcome, simulate

    try:
        return simulate(seed, _template, trace)
    except Exception as error:  # the engine's own supervisor would not have survived this
        import traceback

        words = f"the process broke down: {error!r}\n{traceback.format_exc()}"
        return Outcome(seed, "", dict.fromkeys(KINDS, 0) | {"wrong": 1}, [words])


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="replay this one and say what happened")
    parser.add_argument("--trace", type=Path, help="with --seed: write every event here")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true", help="only the last line")
    arguments = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets must have one order, or a seed would not be one run
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    seeds = (
        [arguments.seed] if arguments.seed is not None else range(arguments.first, arguments.first + arguments.seeds)
    )
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="simulation_", dir=memory) as folder:
        if len(seeds) == 1 or arguments.workers == 1:
            _begin(folder)
            trace = [] if arguments.trace else None
            outcomes = _told((_one(seed, trace) for seed in seeds), arguments)
            if arguments.trace:
                arguments.trace.write_text("\n".join(trace) + "\n")
        else:
            with ProcessPoolExecutor(arguments.workers, initializer=_begin, initargs=(folder,)) as pool:
                outcomes = _told(pool.map(_one, seeds, chunksize=1), arguments)
    summary = {"seeds": len(outcomes)} | {kind: sum(one.counts[kind] for one in outcomes) for kind in KINDS}
    summary["red"] = [one.seed for one in outcomes if one.is_red]
    summary["seconds"] = round(time.monotonic() - began, 1)
    if len(outcomes) == 1:
        summary |= {"hash": outcomes[0].hash, **outcomes[0].figures}
    print(json.dumps(summary))
    return 1 if summary["red"] else 0


def _told(outcomes, arguments):
    done = []
    for one in outcomes:
        done.append(one)
        if one.is_red:
            print(f"seed {one.seed} is red: uv run python -m tests.simulation --seed {one.seed}")
            for words in one.findings[: 40 if arguments.seed is not None else 3]:
                print(f"  {words}")
        elif not arguments.json:
            print(f"seed {one.seed} {one.hash[:12]} {one.seconds:.1f} s {one.figures}", flush=True)
    return done


if __name__ == "__main__":
    sys.exit(main())
