"""What installed features read beside the five columns of a row's own market.

The features are imported when they are needed: a process that reads no candles computes none.
"""

from marketdata.models import Market
from marketdata.storage.columns import COLUMNS


def feature_columns() -> tuple[str, ...]:
    """Columns that installed features read: those of every candle, then further ones, NaN where unknown."""
    from indicators.features import installed

    return (*COLUMNS, *installed().further_columns)


def other_market_ids(source: str) -> dict[str, int]:
    """Markets of a source that installed features read beside a row's own, by symbol."""
    from indicators.features import installed

    symbols = installed().other_markets
    if not symbols:
        return {}
    return dict(Market.objects.filter(source=source, symbol__in=symbols).values_list("symbol", "id"))
