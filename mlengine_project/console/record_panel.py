"""Track record panel: figures per market and horizon of the newest version."""

from typing import Any

from marketdata.errors import UnknownSymbol
from mlengine_project.console.wording import skill_sentence
from predictions.scoring.scoreboard import scoreboard
from signals.outcomes import net_results

EIGHTY = 0.8


def context(symbol: str | None) -> dict[str, Any]:
    """Context of the panel; of several versions the one that predicted last."""
    try:
        results = scoreboard(symbol=symbol, net_results=net_results)
    except UnknownSymbol:
        results = []
    newest: dict[tuple[str, bool, int], dict[str, Any]] = {}
    for result in results:
        key = (result["symbol"], result["simulated"], result["horizon"])
        if key not in newest or result["to"] > newest[key]["to"]:
            newest[key] = result
    return {"record": [_line(result) for result in newest.values()], "several_markets": symbol is None}


def _line(result: dict[str, Any]) -> dict[str, Any]:
    eighty = next((band for band in result["coverage"] if band["level"] == EIGHTY), {"high": None, "low": None})
    return {
        **{name: result[name] for name in ("symbol", "horizon", "n", "effective_n", "too_few", "mae_percent")},
        "skill": skill_sentence(result["skill"]["ewm"], None, "EWM", result["effective_n"]),
        "high_held": eighty["high"],
        "low_held": eighty["low"],
        "net": result["net"],
    }
