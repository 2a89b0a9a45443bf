"""No training label overlaps the window of a test row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelregistry.dataset.folds import purge, purged_k_fold, walk_forward


@st.composite
def labelled_rows(draw):
    """Sorted start times with ties and gaps, and labels of any length."""
    n = draw(st.integers(20, 120))
    steps = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    lengths = draw(st.lists(st.integers(0, 30), min_size=n, max_size=n))
    starts = np.cumsum(steps)
    return starts, starts + np.array(lengths)


def overlaps(starts, ends, train, test):
    return any(((starts[train] <= ends[row]) & (ends[train] >= starts[row])).any() for row in test)


@given(labelled_rows(), st.integers(0, 5), st.data())
def test_purging_leaves_no_overlap_with_scattered_blocks(rows, embargo, data):
    starts, ends = rows
    edges = sorted(data.draw(st.lists(st.integers(0, int(starts.max()) + 1), min_size=4, max_size=4)))
    blocks = [(edges[0], edges[1]), (edges[2], edges[3])]
    test = np.zeros(len(starts), dtype=bool)
    for first, last in blocks:
        test |= (starts >= first) & (starts < last)
    train = purge(starts, ends, test, blocks, embargo)
    assert not overlaps(starts, ends, train, np.flatnonzero(test))
    assert not set(train) & set(np.flatnonzero(test))


@given(labelled_rows(), st.integers(1, 3), st.integers(2, 15), st.integers(0, 4))
def test_walk_forward_trains_only_on_finished_labels(rows, count, span, gap):
    starts, ends = rows
    try:
        folds = list(walk_forward(starts, ends, count, test_span=span, gap=gap))
    except ValueError:
        return
    assert len(folds) == count
    for fold in folds:
        assert ends[fold.train].max() + gap < starts[fold.test].min()
    tested = np.concatenate([fold.test for fold in folds])
    assert len(tested) == len(set(tested))


@given(labelled_rows(), st.integers(2, 4), st.integers(0, 6))
def test_cross_blocks_hold_every_row_out_once(rows, count, embargo):
    starts, ends = rows
    try:
        folds = list(purged_k_fold(starts, ends, count, embargo=embargo))
    except ValueError:
        return
    held = np.concatenate([fold.test for fold in folds])
    assert sorted(held) == list(range(len(starts)))
    for fold in folds:
        assert not overlaps(starts, ends, fold.train, fold.test)
        after = starts[fold.train] > starts[fold.test].max()
        assert (starts[fold.train][after] > ends[fold.test].max() + embargo).all()


def test_the_overlap_checker_detects_an_overlap():
    starts = np.arange(10)
    assert overlaps(starts, starts + 3, np.array([4]), np.array([6]))


def test_a_fold_without_training_rows_is_refused():
    starts = np.arange(10)
    with pytest.raises(ValueError, match="0 rows to train"):
        list(walk_forward(starts, starts + 20, 1, test_span=5))
