"""Track record panel of one market: figures per horizon of the newest version."""

from typing import Any

from mlengine_project.console.wording import half_width, skill_sentence
from predictions.scoring.scoreboard import scoreboard
from signals.outcomes import net_results

EIGHTY = 0.8


def context(symbol: str) -> dict[str, Any]:
    """Context of the panel; of several versions the one that predicted last."""
    newest: dict[tuple[bool, int], dict[str, Any]] = {}
    for result in scoreboard(symbol=symbol, net_results=net_results):
        key = (result["simulated"], result["horizon"])
        if key not in newest or result["to"] > newest[key]["to"]:
            newest[key] = result
    return {"record": [_line(result) for result in newest.values()]}


def _line(result: dict[str, Any]) -> dict[str, Any]:
    eighty = next((band for band in result["coverage"] if band["level"] == EIGHTY), {"high": None, "low": None})
    skill, interval = result["skill"]["ewm"], result["skill_interval"]["ewm"]
    return {
        **{name: result[name] for name in ("horizon", "n", "effective_n", "too_few", "mae_percent")},
        "skill": skill_sentence(skill, half_width(skill, interval), "EWM", result["effective_n"]),
        "high_held": eighty["high"],
        "low_held": eighty["low"],
        "net": result["net"],
    }
