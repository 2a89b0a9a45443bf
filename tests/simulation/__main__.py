"""A thousand days of faults: ``uv run python -m tests.simulation --seeds 1000 --json``."""

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
"""Days a planted defect has to show in."""
_template = None


def _begin(folder):
    """In a process of its own: a database to copy, and Django."""
    global _template  # noqa: PLW0603
    from tests.simulation.setting import prepare

    own = Path(folder) / str(os.getpid())
    own.mkdir()
    _template = prepare(own)


def _one(seed, trace=None, control=False, plant=""):
    from tests.simulation.defects import planted
    from tests.simulation.naive import simulate_naive
    from tests.simulation.run import simulate

    try:
        with planted(plant):
            outcome = simulate(seed, _template, trace)
    except Exception as error:  # the engine's own supervisor would not have survived this
        import traceback

        words = f"the process broke down: {error!r}\n{traceback.format_exc()}"
        outcome = Outcome(seed, "", dict.fromkeys(KINDS, 0) | {"wrong": 1}, [words])
    outcome.planted = plant
    if control:
        outcome.control = simulate_naive(seed)
    return outcome


def _caught(plant):
    """The first day that shows a planted defect."""
    days = (_one(seed, plant=plant) for seed in range(PLANT_SEEDS))
    return plant, next((one for one in days if one.is_red), None)


def _arguments():
    from tests.simulation.defects import DEFECTS

    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="replay this one and say what happened")
    parser.add_argument("--trace", type=Path, help="with --seed: write every event here")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--control", action="store_true", help="live the same days with a tutorial's feed as well")
    parser.add_argument("--plants", action="store_true", help="build each known defect in and see whether it shows")
    parser.add_argument("--plant", choices=DEFECTS, default="", help="live the days with this defect built in")
    parser.add_argument("--json", action="store_true", help="only red days, progress and the last line")
    return parser.parse_args()


def main():
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets must have one order, or a seed would not be one run
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    arguments = _arguments()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="simulation_", dir=memory) as folder:
        return _plant(folder, arguments) if arguments.plants else _live(folder, arguments)


def _live(folder, arguments):
    from tests.simulation.telling import compare, covered, follow

    is_one = arguments.seed is not None
    seeds = [arguments.seed] if is_one else range(arguments.first, arguments.first + arguments.seeds)
    telling = {"total": len(seeds), "wordy": not arguments.json, "most_words": 40 if is_one else 3}
    asked = {"control": arguments.control, "plant": arguments.plant}
    began = time.monotonic()
    if len(seeds) == 1 or arguments.workers == 1:
        _begin(folder)
        trace = [] if arguments.trace else None
        outcomes = follow((_one(seed, trace, **asked) for seed in seeds), **telling)
        if arguments.trace:
            arguments.trace.write_text("\n".join(trace) + "\n")
    else:
        with ProcessPoolExecutor(arguments.workers, initializer=_begin, initargs=(folder,)) as pool:
            days = [pool.submit(_one, seed, **asked) for seed in seeds]
            outcomes = follow((day.result() for day in as_completed(days)), **telling)
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


def _plant(folder, arguments):
    from tests.simulation.defects import DEFECTS
    from tests.simulation.telling import tell_plant

    with ProcessPoolExecutor(arguments.workers, initializer=_begin, initargs=(folder,)) as pool:
        found = {}
        for name, one in pool.map(_caught, DEFECTS, chunksize=1):
            found[name] = one
            tell_plant(name, one)
    caught = {name: one and one.seed for name, one in found.items()}
    print(json.dumps({"planted": len(found), "caught": sum(one is not None for one in found.values()), "by": caught}))
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
