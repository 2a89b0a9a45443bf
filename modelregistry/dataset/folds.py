"""Purged time splits: no training label overlaps the window of a test row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Fold:
    """Positions of training and of test rows, disjoint in the time their labels span."""

    train: np.ndarray
    test: np.ndarray


def purge(
    starts: np.ndarray, ends: np.ndarray, test: np.ndarray, blocks: Sequence[tuple[int, int]], embargo: int = 0
) -> np.ndarray:
    """Positions of the rows that may be used for training, given the test rows.

    A row is dropped if its label window ``[start, end]`` overlaps that of a test block, which runs from the block's
    earliest start to its *latest end*, or if it starts within `embargo` after a block.

    Parameters
    ----------
    starts, ends : ndarray of shape (n_rows,)
        Decision time and the time at which the label is known, any unit, ``ends >= starts``.
    test : ndarray of bool of shape (n_rows,)
        Test rows; never in the result.
    blocks : sequence of (int, int)
        Half-open intervals of start times that hold the test rows, one for each contiguous block.
    embargo : int
        Same unit as `starts`.

    Examples
    --------
    >>> starts = np.arange(6)
    >>> test = starts == 3
    >>> purge(starts, starts + 1, test, [(3, 4)]).tolist()
    [0, 1, 5]
    """
    keep = ~test
    for first, last in blocks:
        inside = test & (starts >= first) & (starts < last)
        if not inside.any():
            continue
        earliest, latest = starts[inside].min(), ends[inside].max()
        keep &= (ends < earliest) | (starts > latest + embargo)
    return np.flatnonzero(keep)


def walk_forward(starts: np.ndarray, ends: np.ndarray, count: int, *, test_span: int, gap: int = 0) -> Iterator[Fold]:
    """Expanding walk-forward folds, oldest first: `count` test periods at the end.

    Each has the length `test_span` and is trained on all rows before it.

    Parameters
    ----------
    starts, ends : ndarray of shape (n_rows,)
        Decision time and label end of each row, in one unit.
    count : int
        Number of folds.
    test_span : int
        Length of a test period.
    gap : int
        Additional gap before a test period, on top of purging.

    Raises
    ------
    ValueError
        If a fold would have no training or no test rows.

    Examples
    --------
    >>> starts = np.arange(10)
    >>> [(fold.train.tolist(), fold.test.tolist()) for fold in walk_forward(starts, starts + 1, 2, test_span=3)]
    [([0, 1, 2], [4, 5, 6]), ([0, 1, 2, 3, 4, 5], [7, 8, 9])]
    """
    final = int(starts.max()) + 1
    for k in range(count, 0, -1):
        first, last = final - k * test_span, final - (k - 1) * test_span
        test = np.flatnonzero((starts >= first) & (starts < last))
        train = np.flatnonzero(ends + gap < starts[test].min()) if len(test) else test
        if not len(train) or not len(test):
            raise ValueError(f"fold {count - k + 1} of {count} has {len(train)} rows to train and {len(test)} to test")
        yield Fold(train, test)


def purged_k_fold(starts: np.ndarray, ends: np.ndarray, count: int, *, embargo: int) -> Iterator[Fold]:
    """Contiguous blocks of equal time, each held out once with purge and embargo.

    For out-of-fold predictions inside a training set. A fold may train on rows later than its test rows, so it must
    not be used for reported scores.

    Raises
    ------
    ValueError
        If a block would have no training or no test rows.
    """
    edges = np.linspace(int(starts.min()), int(starts.max()) + 1, count + 1).astype(np.int64)
    for first, last in pairwise(edges):
        test = (starts >= first) & (starts < last)
        train = purge(starts, ends, test, [(int(first), int(last))], embargo)
        if not len(train) or not test.any():
            raise ValueError(f"a block has {len(train)} rows to train and {int(test.sum())} to hold out")
        yield Fold(train, np.flatnonzero(test))
