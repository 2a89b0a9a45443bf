"""Instants as research writes them."""

from datetime import date

import numpy as np

Time = str | int | date | np.datetime64
"""Text in ISO 8601, milliseconds since 1970, or a date or time of Python, NumPy or pandas; UTC without a zone."""


def milliseconds(time: Time) -> int:
    """Milliseconds since 1970 UTC.

    Examples
    --------
    >>> milliseconds("2024-03-01"), milliseconds("2024-03-01T01:00+01:00"), milliseconds(1709251200000)
    (1709251200000, 1709251200000, 1709251200000)
    >>> milliseconds(date(2024, 3, 1)), milliseconds(np.datetime64("2024-03-01"))
    (1709251200000, 1709251200000)
    """
    import pandas as pd  # not before an instant is given

    if isinstance(time, int | np.integer):
        return int(time)
    moment = pd.Timestamp(time)
    moment = moment.tz_localize("UTC") if moment.tzinfo is None else moment
    return round(moment.timestamp() * 1000)
