"""Stage of a version and the gate's verdict on it, in words, from the promotion log.

Pages state both with this module alone. A verdict belongs to the moment of a promotion: a later training of the same
bytes renews the verdict of the version, not what happened then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Prefetch

from modelregistry.models import ModelVersion, PromotionEvent

LOG = ("promotions", "retirements", Prefetch("refresh_of", ModelVersion.objects.only("stage")))
"""Relations read by :func:`state_of`; prefetch them for more than one version."""


class Gate(StrEnum):
    """Verdict of the gate on a version, and what was made of it."""

    ACCEPTED = "accepted"
    REFRESH = "refresh"
    REFUSED = "refused"
    OVERRIDDEN = "overridden"
    UNPROVEN = "unproven"


STAGE_WORDS = {
    ModelVersion.Stage.CANDIDATE: "candidate",
    ModelVersion.Stage.CHAMPION: "champion",
    ModelVersion.Stage.RETIRED: "retired",
}
ROLLED_BACK = "rolled back"
RESTORED = "champion again after a rollback"
GATE_WORDS = {
    Gate.ACCEPTED: "gate accepted",
    Gate.REFRESH: "refresh: same recipe, newer candles",
    Gate.REFUSED: "gate refused",
    Gate.OVERRIDDEN: "promoted by override: the gate had refused",
    Gate.UNPROVEN: "unproven: first of its kind, the gate had refused",
}
GATE_TONES = {
    Gate.ACCEPTED: "good",
    Gate.REFRESH: "",
    Gate.REFUSED: "",
    Gate.OVERRIDDEN: "bad",
    Gate.UNPROVEN: "unproven",
}


@dataclass(frozen=True)
class VersionState:
    """Stage and verdict of one version.

    Parameters
    ----------
    stage : str
        "candidate", "champion" or "retired".
    stage_words : str
        The stage, or how it was left or regained by a rollback.
    gate : Gate
    event : PromotionEvent or None
        The promotion that made it champion; None if it never was.
    reasons : sequence of str
        Why the gate refused, empty if it accepted or the version is a refresh.
    """

    stage: str
    stage_words: str
    gate: Gate
    event: PromotionEvent | None
    reasons: Sequence[str]

    @property
    def gate_words(self) -> str:
        """The verdict in words."""
        return GATE_WORDS[self.gate]

    @property
    def tone(self) -> str:
        """Class of a tag: `good`, `bad`, `unproven` or empty."""
        return GATE_TONES[self.gate]

    @property
    def sentence(self) -> str:
        """Stage and verdict in one line.

        Examples
        --------
        >>> VersionState("champion", "champion", Gate.OVERRIDDEN, None, []).sentence
        'champion, promoted by override: the gate had refused'
        """
        return f"{self.stage_words}, {self.gate_words}"


def state_of(version: ModelVersion) -> VersionState:
    """State of a version from the promotion log; two small queries unless :data:`LOG` is prefetched."""
    arrivals = sorted(version.promotions.all(), key=lambda event: event.pk)
    departures = sorted(version.retirements.all(), key=lambda event: event.pk)
    rollback = PromotionEvent.Action.ROLLBACK
    # A rollback restores a version; how it was promoted, and over which verdict, was logged before.
    promoted = next((event for event in reversed(arrivals) if event.action != rollback), None)
    words = STAGE_WORDS[ModelVersion.Stage(version.stage)]
    if version.stage == ModelVersion.Stage.RETIRED and departures and departures[-1].action == rollback:
        words = ROLLED_BACK
    elif version.stage == ModelVersion.Stage.CHAMPION and arrivals and arrivals[-1].action == rollback:
        words = RESTORED
    gate = _gate(version, promoted)
    refusing = promoted.gate_reasons if promoted is not None else version.gate_reasons
    is_allowed = gate in {Gate.ACCEPTED, Gate.REFRESH}
    return VersionState(version.stage, words, gate, promoted, [] if is_allowed else list(refusing))


def _gate(version: ModelVersion, promoted: PromotionEvent | None) -> Gate:
    if promoted is None:
        return _gate_before_promotion(version)
    if promoted.gate_accepted:
        return Gate.ACCEPTED
    if promoted.override:
        return Gate.OVERRIDDEN
    by_action = {PromotionEvent.Action.BOOTSTRAP: Gate.UNPROVEN, PromotionEvent.Action.REFRESH: Gate.REFRESH}
    return by_action.get(PromotionEvent.Action(promoted.action), Gate.REFUSED)


def _gate_before_promotion(version: ModelVersion) -> Gate:
    if version.stage == ModelVersion.Stage.CHAMPION and version.unproven:
        return Gate.UNPROVEN
    if version.gate_accepted:
        return Gate.ACCEPTED
    # Once another version is champion, the comparison with the former one says nothing.
    champion = version.refresh_of
    is_refresh = champion is not None and champion.stage == ModelVersion.Stage.CHAMPION
    return Gate.REFRESH if is_refresh else Gate.REFUSED
