"""Average uniqueness of overlapping labels."""

import numpy as np

from modelregistry.dataset.rows import Dataset


def average_uniqueness(position: np.ndarray, candles: np.ndarray) -> np.ndarray:
    """Average uniqueness: mean over a label's candles of one over the concurrent labels.

    Forward-looking as labels are: the label of row ``t`` reads candles ``t + 1`` to ``t + candles``.

    Parameters
    ----------
    position : int ndarray of shape (n_rows,)
        Candle of each row, all of one market.
    candles : int ndarray of shape (n_rows,)
        Candles each label spans, at least 1.

    Returns
    -------
    ndarray of shape (n_rows,)
        Between 0 and 1; their sum is the number of independent labels.

    References
    ----------
    Lopez de Prado, M. (2018). Advances in Financial Machine Learning, chapter 4. Wiley.

    Examples
    --------
    >>> average_uniqueness(np.array([0, 1, 10]), np.array([2, 2, 3])).tolist()
    [0.75, 0.75, 1.0]
    """
    if not len(position):
        return np.zeros(0)
    first = position - position.min() + 1
    steps = np.zeros(int((first + candles).max()) + 1)
    np.add.at(steps, first, 1.0)
    np.add.at(steps, first + candles, -1.0)
    readers = np.cumsum(steps)
    shares = np.concatenate([[0.0], np.cumsum(np.where(readers > 0.5, 1.0 / np.maximum(readers, 1.0), 0.0))])
    return np.asarray((shares[first + candles] - shares[first]) / candles)


def row_uniqueness(rows: Dataset, candles: np.ndarray) -> np.ndarray:
    """Average uniqueness of every row's label within its market, shape (n_rows,)."""
    shares = np.empty(len(rows))
    for code in np.unique(rows.market):
        in_market = rows.market == code
        shares[in_market] = average_uniqueness(rows.position[in_market], np.maximum(candles[in_market], 1))
    return shares
