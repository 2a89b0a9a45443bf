"""A thousand days of faults: ``uv run python -m tests.simulation --seeds 1000 --json``."""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.simulation.outcome import Outcome

KINDS = ("lost", "duplicated", "wrong", "open_as_closed", "late", "unexplained")
_template = None


def _begin(folder):
    """In a process of its own: a database to copy, and Django."""
    global _template  # noqa: PLW0603
    from tests.simulation.setting import prepare

    own = Path(folder) / str(os.getpid())
    own.mkdir()
    _template = prepare(own)


def _one(seed, trace=None, control=False):
    from tests.simulation.naive import simulate_naive
    from tests.simulation.run import simulate

    try:
        outcome = simulate(seed, _template, trace)
    except Exception as error:  # the engine's own supervisor would not have survived this
        import traceback

        words = f"the process broke down: {error!r}\n{traceback.format_exc()}"
        outcome = Outcome(seed, "", dict.fromkeys(KINDS, 0) | {"wrong": 1}, [words])
    if control:
        outcome.control = simulate_naive(seed)
    return outcome


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="replay this one and say what happened")
    parser.add_argument("--trace", type=Path, help="with --seed: write every event here")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--control", action="store_true", help="live the same days with a tutorial's feed as well")
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
            outcomes = _told((_one(seed, trace, arguments.control) for seed in seeds), arguments)
            if arguments.trace:
                arguments.trace.write_text("\n".join(trace) + "\n")
        else:
            with ProcessPoolExecutor(arguments.workers, initializer=_begin, initargs=(folder,)) as pool:
                outcomes = _told(pool.map(partial(_one, control=arguments.control), seeds, chunksize=1), arguments)
    summary = {"seeds": len(outcomes)} | {kind: sum(one.counts[kind] for one in outcomes) for kind in KINDS}
    if arguments.control:
        summary["control"] = _compared(outcomes)
    summary["red"] = [one.seed for one in outcomes if one.is_red]
    summary["seconds"] = round(time.monotonic() - began, 1)
    if len(outcomes) == 1:
        summary |= {"hash": outcomes[0].hash, **outcomes[0].figures}
    print(json.dumps(summary))
    return 1 if summary["red"] else 0


def _compared(outcomes):
    """A table of both on the same days, and how many days the control failed."""
    kinds = ("lost", "duplicated", "wrong", "open_as_closed", "unsignalled")
    judged = [one for one in outcomes if one.control]
    print(f"{len(judged)} days{'':>14}{'the engine':>12}{'the control':>12}{'days it failed':>16}")
    for kind in kinds:
        ours = sum(one.counts.get(kind, 0) for one in judged)
        theirs = sum(one.control[kind] for one in judged)
        print(f"{kind:<22}{ours:>12}{theirs:>12}{sum(one.control[kind] > 0 for one in judged):>16}")
    failed = sum(any(one.control.values()) for one in judged)
    print(f"{'red days':<22}{sum(one.is_red for one in judged):>12}{failed:>12}")
    return {kind: sum(one.control[kind] for one in judged) for kind in kinds} | {"red": failed}


def _told(outcomes, arguments):
    done = []
    for one in outcomes:
        done.append(one)
        if one.is_red:
            print(
                f"seed {one.seed} is red after {one.seconds:.1f} s: uv run python -m tests.simulation --seed {one.seed}"
            )
            for words in one.findings[: 40 if arguments.seed is not None else 3]:
                print(f"  {words}")
        elif not arguments.json:
            print(f"seed {one.seed} {one.hash[:12]} {one.seconds:.1f} s {one.figures}", flush=True)
    return done


if __name__ == "__main__":
    sys.exit(main())
