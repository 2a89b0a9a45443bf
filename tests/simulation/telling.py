"""Output of a run: failed days, progress, and tables at the end."""

import sys
import time
from collections import Counter
from contextlib import ExitStack

from marketdata import progress

EVERY_SECONDS = 20.0
BOTH = ("lost", "duplicated", "wrong", "open_as_closed", "late")
COVERED = ("closes", "requests", "rebuilds", "boots")


def follow(outcomes, total, *, wordy, most_words):
    """Collect outcomes and print progress; on an interrupt return the outcomes so far."""
    done, began, printed_at = [], time.monotonic(), time.monotonic()
    with ExitStack() as stack:
        bar = (
            stack.enter_context(progress.progress_reporter("days", sys.stderr))
            if sys.stderr.isatty() and total > 1
            else None
        )
        try:
            for one in outcomes:
                done.append(one)
                if one.is_red:
                    print(f"seed {one.seed} is red after {one.seconds:.1f} s: {replay(one)}", flush=True)
                    for words in one.findings[:most_words]:
                        print(f"  {words}", flush=True)
                elif wordy:
                    print(f"seed {one.seed} {one.hash[:12]} {one.seconds:.1f} s", flush=True)
                if bar:
                    bar(len(done), total)
                elif time.monotonic() - printed_at >= EVERY_SECONDS:
                    printed_at = time.monotonic()
                    red = sum(one.is_red for one in done)
                    left = round((total - len(done)) * (printed_at - began) / len(done))
                    print(
                        f"{len(done)} of {total} days, {len(done) - red} clean, {red} red, "
                        f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left",
                        flush=True,
                    )
        except KeyboardInterrupt:
            print(f"interrupted after {len(done)} of {total} days", flush=True)
    return done


def replay(one):
    """Command that repeats a day."""
    planted = f" --plant {one.planted}" if one.planted else ""
    return f"uv run python -m tests.simulation --seed {one.seed}{planted}"


def covered(outcomes):
    """Totals of events and faults over all days."""
    known = [one.figures for one in outcomes if one.figures]
    summed = {name: sum(figures[name] for figures in known) for name in COVERED}
    return summed | {
        name: dict(sorted(sum((Counter(figures[name]) for figures in known), Counter()).items()))
        for name in ("faults", "tasks")
    }


def compare(outcomes):
    """Print a table of engine and control by day; return the totals of the control."""
    judged = [one for one in outcomes if one.control]
    print(f"{'seed':<10}{'the engine':>28}   the control")
    print(f"{'':<10}{'lost dup wrong open late':>28}   lost dup wrong open late")
    for one in judged:
        ours, theirs = ([counts[kind] for kind in BOTH] for counts in (one.counts, one.control))
        print(f"{one.seed:<10}{_cells(ours):>28}   {_cells(theirs)}")
    ours, theirs = (
        [sum(counts[kind] for counts in all_counts) for kind in BOTH]
        for all_counts in ([one.counts for one in judged], [one.control for one in judged])
    )
    print(f"{'total':<10}{_cells(ours):>28}   {_cells(theirs)}")
    failed = sum(any(one.control.values()) for one in judged)
    print(f"{'red days':<10}{sum(one.is_red for one in judged):>28}   {failed} of {len(judged)}")
    kinds = (*BOTH, "unsignalled")
    return {kind: sum(one.control[kind] for one in judged) for kind in kinds} | {"red": failed}


def _cells(counts):
    return " ".join(f"{count:>{width}}" for count, width in zip(counts, (4, 3, 5, 4, 4), strict=True))


def print_detection(name, one):
    """Print whether a planted defect was detected, by which seed, and as which findings."""
    if one is None:
        words = "was not detected"
    else:
        kinds = ", ".join(f"{count} {kind}" for kind, count in one.counts.items() if count)
        words = f"detected by seed {one.seed}: {kinds}"
    print(f"{name:<34}{words}", flush=True)
