"""The novelty measure and its limit."""

import numpy as np

from modelregistry.estimators.novelty import Novelty

COLUMNS = (0, 1, 2)


def ordinary(seed, rows=20_000, size=1.0):
    return (size * np.random.default_rng(seed).normal(size=(rows, 4))).astype(np.float32)


def test_ordinary_rows_are_not_novel_and_extreme_or_missing_ones_are():
    learned = Novelty.fit(ordinary(1), ordinary(2), COLUMNS)
    assert learned.is_novel(ordinary(3)).mean() < 0.001
    odd = ordinary(4, rows=3)
    odd[0, 1], odd[1, 2], odd[2, 3] = 40.0, np.nan, 1e9
    assert learned.is_novel(odd).tolist() == [True, True, False], "the last column is not used"


def test_later_rows_of_higher_volatility_raise_the_limit():
    calm = ordinary(1)
    wild = ordinary(2, size=4.0)
    unguarded, guarded = (Novelty.fit(calm, later, COLUMNS) for later in (calm, wild))
    assert unguarded.is_novel(ordinary(3, size=4.0)).mean() > 0.2
    assert guarded.is_novel(ordinary(3, size=4.0)).mean() < 0.001


def test_a_column_that_never_varies_is_left_out_and_no_later_row_is_needed():
    still = ordinary(1)
    still[:, 1] = 7.0
    learned = Novelty.fit(still, ordinary(2, rows=0), COLUMNS)
    assert learned.columns == (0, 2)
    assert np.isfinite(learned.limit)
