"""Simulation of days with faults: ``uv run python -m tests.simulation --seeds 1000 --json``."""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.simulation.outcome import Outcome

KINDS = ("lost", "duplicated", "wrong", "open_as_closed", "late", "unexplained")
PLANT_SEEDS = 5
"""Number of days within which a planted defect must be detected."""
_template = None


def _initialise(folder):
    """Set up Django and a template database in a worker process."""
    global _template  # noqa: PLW0603
    from tests.simulation.setting import prepare

    own = Path(folder) / str(os.getpid())
    own.mkdir()
    _template = prepare(own)


def _simulate(seed, trace=None, control=False, plant=""):
    from tests.simulation.defects import planted
    from tests.simulation.naive import simulate_naive
    from tests.simulation.run import simulate

    try:
        with planted(plant):
            outcome = simulate(seed, _template, trace)
    except Exception as error:  # this would have ended the engine's process
        import traceback

        words = f"the process broke down: {error!r}\n{traceback.format_exc()}"
        outcome = Outcome(seed, "", dict.fromkeys(KINDS, 0) | {"wrong": 1}, [words])
    outcome.planted = plant
    if control:
        outcome.control = simulate_naive(seed)
    return outcome


def _first_detection(plant):
    """The first day on which a planted defect is detected."""
    days = (_simulate(seed, plant=plant) for seed in range(PLANT_SEEDS))
    return plant, next((one for one in days if one.is_red), None)


def _arguments():
    from tests.simulation.defects import DEFECTS

    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="run this one day and print its findings")
    parser.add_argument("--trace", type=Path, help="with --seed: write every event to this file")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--control", action="store_true", help="also run the days with a simple feed as in tutorials")
    parser.add_argument("--plants", action="store_true", help="check that each known defect is detected")
    parser.add_argument("--plant", choices=DEFECTS, default="", help="run the days with this defect")
    parser.add_argument("--json", action="store_true", help="print only failed days, progress and the last line")
    return parser.parse_args()


def main():
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets must be fixed for reproducible runs
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    arguments = _arguments()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="simulation_", dir=memory) as folder:
        return _run_plants(folder, arguments) if arguments.plants else _run_days(folder, arguments)


def _run_days(folder, arguments):
    from tests.simulation.telling import compare, covered, follow

    is_one = arguments.seed is not None
    seeds = [arguments.seed] if is_one else range(arguments.first, arguments.first + arguments.seeds)
    reporting = {"total": len(seeds), "wordy": not arguments.json, "most_words": 40 if is_one else 3}
    options = {"control": arguments.control, "plant": arguments.plant}
    began = time.monotonic()
    if len(seeds) == 1 or arguments.workers == 1:
        _initialise(folder)
        trace = [] if arguments.trace else None
        outcomes = follow((_simulate(seed, trace, **options) for seed in seeds), **reporting)
        if arguments.trace:
            arguments.trace.write_text("\n".join(trace) + "\n")
    else:
        with ProcessPoolExecutor(arguments.workers, initializer=_initialise, initargs=(folder,)) as pool:
            days = [pool.submit(_simulate, seed, **options) for seed in seeds]
            outcomes = follow((day.result() for day in as_completed(days)), **reporting)
            pool.shutdown(cancel_futures=True)
    outcomes.sort(key=lambda one: one.seed)
    summary = {"seeds": len(outcomes)} | {kind: sum(one.counts[kind] for one in outcomes) for kind in KINDS}
    if arguments.control:
        summary["control"] = compare(outcomes)
    summary["red"] = [one.seed for one in outcomes if one.is_red]
    summary["impolite"] = sum(one.figures.get("impolite", 0) for one in outcomes)
    summary["covered"] = covered(outcomes)
    summary["cpu_seconds"] = round(sum(one.seconds for one in outcomes), 1)
    summary["seconds"] = round(time.monotonic() - began, 1)
    if len(outcomes) == 1:
        summary |= {"hash": outcomes[0].hash, **outcomes[0].figures}
    print(json.dumps(summary))
    return 1 if summary["red"] else 0


def _run_plants(folder, arguments):
    from tests.simulation.defects import DEFECTS
    from tests.simulation.telling import print_detection

    with ProcessPoolExecutor(arguments.workers, initializer=_initialise, initargs=(folder,)) as pool:
        found = {}
        for name, one in pool.map(_first_detection, DEFECTS, chunksize=1):
            found[name] = one
            print_detection(name, one)
    caught = {name: one and one.seed for name, one in found.items()}
    print(json.dumps({"planted": len(found), "caught": sum(one is not None for one in found.values()), "by": caught}))
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
