"""Closed list of reason codes for refused or degraded predictions, with their texts."""

NO_CHAMPION = "NO_CHAMPION"
WARMUP = "WARMUP"
STALE_DATA = "STALE_DATA"
GAP_IN_WINDOW = "GAP_IN_WINDOW"
MODEL_EXPIRED = "MODEL_EXPIRED"
MARKET_DISABLED = "MARKET_DISABLED"
OUT_OF_DISTRIBUTION = "OUT_OF_DISTRIBUTION"
INTERVAL_TOO_WIDE = "INTERVAL_TOO_WIDE"
MODELS_DISAGREE = "MODELS_DISAGREE"
NO_EDGE_AFTER_FEES = "NO_EDGE_AFTER_FEES"
LATE = "LATE"
KILL_SWITCH = "KILL_SWITCH"

REASON_TEXTS: dict[str, str] = {
    KILL_SWITCH: "an operator switched signals off",
    MARKET_DISABLED: "this market is switched off",
    NO_CHAMPION: "no active model covers this market",
    MODEL_EXPIRED: "the active model was trained too long ago",
    WARMUP: "not enough history yet",
    GAP_IN_WINDOW: "candles are missing in the input window of the models",
    STALE_DATA: "the newest candle is too old",
    LATE: "the candle was processed after its prediction would have expired",
    OUT_OF_DISTRIBUTION: "the market is unlike the training set",
    MODELS_DISAGREE: "the models contradict each other",
    INTERVAL_TOO_WIDE: "the predicted range is too wide to act on",
    NO_EDGE_AFTER_FEES: "no bracket is certain enough to return more than its costs",
}
"""Texts by code, most important first; `reasons` have this order everywhere."""

SUPPRESSED_FLAG_TEXT = "flagged as out of distribution, but so was much of the last week: the flag is suppressed"
"""Detail of a prediction whose `OUT_OF_DISTRIBUTION` flag is suppressed and therefore no reason."""


UNKNOWN_MARKETS = "UNKNOWN_MARKETS"
"""Key of a detail, never a reason: other markets whose candles features would have read, but which were missing."""

UNKNOWN_COLUMNS = "UNKNOWN_COLUMNS"
"""Key of a detail, never a reason: further columns of candles that features would have read, but which were missing."""


def in_order(reasons: set[str] | list[str]) -> list[str]:
    """Sort by importance and drop repeats.

    >>> in_order(["NO_EDGE_AFTER_FEES", "LATE", "LATE"])
    ['LATE', 'NO_EDGE_AFTER_FEES']
    """
    return [code for code in REASON_TEXTS if code in reasons]
