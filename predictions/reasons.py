"""The closed list of reasons for refusing or for degrading an answer, and their plain words."""

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

WORDS: dict[str, str] = {
    KILL_SWITCH: "an operator switched signals off",
    MARKET_DISABLED: "this market is switched off",
    NO_CHAMPION: "no model in charge covers this market",
    MODEL_EXPIRED: "the model in charge was trained too long ago",
    WARMUP: "not enough history yet",
    GAP_IN_WINDOW: "candles are missing in the window the models read",
    STALE_DATA: "the newest candle is too old",
    LATE: "the candle was processed after its answer would have expired",
    OUT_OF_DISTRIBUTION: "the market looks unlike anything in the training set",
    MODELS_DISAGREE: "the models contradict each other",
    INTERVAL_TOO_WIDE: "the predicted range is too wide to act on",
    NO_EDGE_AFTER_FEES: "no bracket is sure enough to earn more than it costs",
}
"""In order of importance; this order is the order of `reasons` everywhere."""

UNBELIEVED = "called unlike the training set, but so was much of the last week: the measure is not believed"
"""What a prediction tells beside its reasons where `OUT_OF_DISTRIBUTION` was found and is no reason."""

REFUSING = frozenset({NO_CHAMPION, WARMUP, STALE_DATA, GAP_IN_WINDOW, MODEL_EXPIRED, MARKET_DISABLED})
"""A prediction with one of these is not given at all."""
DEGRADING = frozenset({OUT_OF_DISTRIBUTION, INTERVAL_TOO_WIDE, MODELS_DISAGREE})
"""A prediction with one of these is given, marked as degraded."""


def in_order(reasons: set[str] | list[str]) -> list[str]:
    """Sort by importance and drop repeats.

    >>> in_order(["NO_EDGE_AFTER_FEES", "LATE", "LATE"])
    ['LATE', 'NO_EDGE_AFTER_FEES']
    """
    return [code for code in WORDS if code in reasons]
