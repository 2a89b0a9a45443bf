"""Registration, promotion and rollback of model versions, and champions at any time.

The promotions of one kind and source form a stack. A rollback undoes the newest promotion not yet undone and promotes
the version it had replaced, so two rollbacks go back two promotions, and a promotion after a rollback can be undone
like any other. The bootstrap cannot be rolled back: a bad champion is replaced by a better version (or stopped by the
kill switch), never by having no champion.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from marketdata.models import Market
from modelregistry import artifacts
from modelregistry.errors import ModelLoadError, ModelNotFoundError, PromotionRefused
from modelregistry.models import Kind, ModelVersion, PromotionEvent
from modelregistry.registry import serving

logger = logging.getLogger(__name__)
RENEWED_FIELDS = ("report", "gate_accepted", "gate_reasons", "refresh_of", "training_seconds")
"""Fields that a second, identical training updates; all others are the same by the digest."""


def register(*, kind: str, source: str, digest: str, **fields: Any) -> ModelVersion:
    """Register the artifact `digest` as a candidate, after verification in a child process.

    The same inputs give the same digest: a second training finds the existing version and only
    updates its report and the gate's verdict.
    """
    artifacts.verify_in_child(kind, digest)
    with transaction.atomic():
        known = ModelVersion.objects.select_for_update().filter(kind=kind, source=source, digest=digest).first()
        if known is None:
            return ModelVersion.objects.create(kind=kind, source=source, digest=digest, **fields)
        for name in RENEWED_FIELDS:
            setattr(known, name, fields.get(name, getattr(known, name)))
        if not known.files_kept:  # the training wrote them again; retention removes files under the same lock
            artifacts.verify_in_child(kind, digest)
            known.files_removed_at, known.files_removed_reason = None, ""
        known.save(update_fields=[*RENEWED_FIELDS, "files_removed_at", "files_removed_reason"])
        return known


def bootstrap(version: ModelVersion, actor: str, reason: str) -> PromotionEvent | None:
    """Promote `version` as bootstrap champion if its kind and source have none, else do nothing."""
    _verify(version)
    with transaction.atomic():
        candidate, champion = _locked(version)
        if champion is not None:
            return None
        return _make_champion(
            PromotionEvent.Action.BOOTSTRAP, None, candidate, actor=actor, reason=_required_reason(reason)
        )


def promote(version: ModelVersion, actor: str, reason: str, override: bool = False) -> PromotionEvent:
    """Promote `version` to champion of its kind and source, in one transaction.

    A version that the gate refused needs no override to replace the champion whose refresh it is.

    Raises
    ------
    PromotionRefused
        If the gate refused the version and `override` is not set, the reason is empty, or it
        is the champion already.
    ModelLoadError
        If its artifact is damaged or does not reproduce its golden rows. The champion stays.
    """
    reason = _required_reason(reason)
    _verify(version)
    with transaction.atomic():
        candidate, champion = _locked(version)
        if champion is not None and champion.pk == candidate.pk:
            raise PromotionRefused(["it is the champion already"])
        refused = needs_override(candidate, champion)
        if refused and not override:
            outdated = ["it would have been a refresh of another champion"] if candidate.refresh_of_id else []
            raise PromotionRefused([*candidate.gate_reasons, *outdated] or ["the gate has not accepted it"])
        overridden = override and refused
        is_refresh = not refused and not candidate.gate_accepted
        action = PromotionEvent.Action.REFRESH if is_refresh else PromotionEvent.Action.PROMOTE
        return _make_champion(action, champion, candidate, actor=actor, reason=reason, override=overridden)


def needs_override(version: ModelVersion, champion: ModelVersion | None) -> bool:
    """Whether the gate refused `version` and it is no refresh of `champion`."""
    return not version.gate_accepted and (champion is None or version.refresh_of_id != champion.pk)


def refresh_champions(versions: Iterable[ModelVersion], actor: str) -> list[PromotionEvent]:
    """Promote each version that is a refresh of its champion, all in one transaction.

    A kind whose newest change is a rollback stays as it is until a person promotes. What is refused or damaged is
    logged and left out.
    """
    made = []
    with transaction.atomic():
        for version in versions:
            events = PromotionEvent.objects.filter(kind=version.kind, source=version.source)
            newest = events.order_by("-id").first()
            if version.refresh_of_id is None or newest is None:
                continue
            if newest.action == PromotionEvent.Action.ROLLBACK:
                logger.info("%s is not refreshed: its newest change is a rollback by %s", version, newest.actor)
                continue
            try:
                made.append(_refresh(version, actor))
            except (PromotionRefused, ModelLoadError) as error:
                logger.warning("%s is not refreshed: %s", version, error)
    return made


def _refresh(version: ModelVersion, actor: str) -> PromotionEvent:
    """Promote a version if it is a refresh of the champion there is now."""
    champion = champions(version.source).get(version.kind)
    if champion is None or version.refresh_of_id != champion.pk:
        raise PromotionRefused(["it would have been a refresh of another champion"])
    versus, margin = version.report["versus_champion"], version.report["refresh"]["margin"]
    loss = f"its loss changes by {versus['increase']:+.2f} %, surely by at most {versus['increase_upper']:+.2f} %"
    reason = (
        f"refresh: the recipe of the champion on candles until {version.trained_until:%Y-%m-%d %H:%M}; "
        f"on {versus['days']} days {loss} (REFRESH_MARGIN {margin:g} %)"
    )
    return promote(version, actor, reason)


def promotion_warnings(version: ModelVersion) -> list[str]:
    """Side effects of promoting `version` that the operator should know, as sentences."""
    current = champions(version.source)
    return [*_markets_lost(version, current), *_horizons_apart(version, current)]


def _markets_lost(version: ModelVersion, current: Mapping[str, ModelVersion]) -> list[str]:
    """Warning about enabled markets the champion covers and `version` was not trained on."""
    before = current.get(version.kind)
    if before is None or version.kind == Kind.SIGNAL:  # markets do not depend on the signal classifier
        return []
    enabled = set(Market.objects.enabled().filter(source=version.source).values_list("symbol", flat=True))
    lost = sorted(enabled & set(before.symbols) - set(version.symbols))
    if not lost:
        return []
    return [f"this version was trained without {', '.join(lost)}: predictions there will be refused with NO_CHAMPION"]


def _horizons_apart(version: ModelVersion, current: Mapping[str, ModelVersion]) -> list[str]:
    """Warning when range and bracket champions would share few horizons, or none."""
    pair = {Kind.RANGE.value: Kind.TPSL.value, Kind.TPSL.value: Kind.RANGE.value}
    other = current.get(pair.get(version.kind, ""))
    if other is None:
        return []
    own, other_horizons = (", ".join(map(str, one.horizons)) for one in (version, other))
    common = [h for h in version.horizons if h in other.horizons]
    words = f"this version has horizons {own}, the champion {other.get_kind_display()} {other_horizons}"
    if not common:
        return [f"{words}: with no horizon in common every signal will be a hold with NO_CHAMPION"]
    if set(version.horizons) != set(other.horizons):
        return [f"{words}: signals will be chosen among {', '.join(map(str, common))} alone"]
    return []


def rollback(kind: str, source: str, actor: str, reason: str) -> PromotionEvent:
    """Undo the newest promotion of `kind` and `source` that is not yet undone.

    Raises
    ------
    PromotionRefused
        If there is no promotion to undo, or it was the bootstrap, under which there is no version.
    ModelLoadError
        If the version to go back to is damaged. The champion stays.
    """
    reason = _required_reason(reason)
    previous = _promotion_to_undo(kind, source).from_version
    if previous is not None:
        _verify(previous)
    with transaction.atomic():
        list(_versions(kind, source).select_for_update())
        undone = _promotion_to_undo(kind, source)
        if undone.from_version is None:
            raise PromotionRefused(
                [f"the first champion of {kind} replaced no version, so there is nothing to go back to"]
            )
        if previous is None or undone.from_version_id != previous.pk:
            raise PromotionRefused(["another promotion or rollback came first; check the state and repeat"])
        action = PromotionEvent.Action.ROLLBACK
        champion, back = (
            _versions(kind, source).get(pk=undone.to_version_id),
            _versions(kind, source).get(pk=previous.pk),
        )
        return _make_champion(action, champion, back, actor=actor, reason=reason, undoes=undone)


def find_version(text: str) -> ModelVersion:
    """Find a version by its id, or by the beginning of its digest.

    Raises
    ------
    ModelNotFoundError
        If no version, or more than one, matches.
    """
    try:
        condition = Q(pk=UUID(text))
    except ValueError:
        condition = Q(digest__startswith=text)
    found = list(ModelVersion.objects.filter(condition)[:2]) if text else []
    if len(found) != 1:
        raise ModelNotFoundError(f"{text!r} names {'more than one version' if found else 'no version'}")
    return found[0]


def champions(source: str) -> dict[str, ModelVersion]:
    """Champions of `source` by kind."""
    current = ModelVersion.objects.filter(source=source, stage=ModelVersion.Stage.CHAMPION).defer("report")
    return {version.kind: version for version in current}


def champions_at(time: datetime, source: str) -> dict[str, ModelVersion]:
    """Champions by kind at `time` (wall time), from the promotion log."""
    found = {}
    for kind in Kind.values:
        events = PromotionEvent.objects.filter(kind=kind, source=source, at__lte=time)
        newest = events.select_related("to_version").defer("to_version__report").order_by("-at", "-id").first()
        if newest is not None and newest.to_version is not None:
            found[kind] = newest.to_version
    return found


def _versions(kind: str, source: str) -> Any:
    return ModelVersion.objects.filter(kind=kind, source=source).order_by("pk")


def _locked(version: ModelVersion) -> tuple[ModelVersion, ModelVersion | None]:
    """Lock the versions of the kind and source; return this one and the champion."""
    rows = list(_versions(version.kind, version.source).select_for_update())
    candidate = next((row for row in rows if row.pk == version.pk), None)
    if candidate is None:
        raise ModelNotFoundError(f"{version.kind} {version.pk} is not registered")
    # Read after the locks are held, so that the changes of a concurrent promotion are visible.
    champion = _versions(version.kind, version.source).filter(stage=ModelVersion.Stage.CHAMPION).first()
    return candidate, champion


def _promotion_to_undo(kind: str, source: str) -> PromotionEvent:
    undo = PromotionEvent.Action.ROLLBACK
    standing = PromotionEvent.objects.filter(kind=kind, source=source, undone_by__isnull=True).exclude(action=undo)
    newest = standing.select_related("from_version").order_by("-id").first()
    if newest is None:
        raise PromotionRefused([f"no promotion of {kind} from {source} candles is left to undo"])
    return newest


def _make_champion(
    action: PromotionEvent.Action, champion: ModelVersion | None, successor: ModelVersion, **event: Any
) -> PromotionEvent:
    """Retire the old champion, promote the new one and log it, under locks."""
    serving.require_files(successor)
    if champion is not None:
        champion.stage = ModelVersion.Stage.RETIRED
        champion.save(update_fields=["stage"])
    successor.stage = ModelVersion.Stage.CHAMPION
    if action != PromotionEvent.Action.ROLLBACK:
        # A refresh shows nothing better: what was unproven stays so.
        inherited = action == PromotionEvent.Action.REFRESH and champion is not None and champion.unproven
        successor.unproven = inherited or (not successor.gate_accepted and action == PromotionEvent.Action.BOOTSTRAP)
    successor.save(update_fields=["stage", "unproven"])
    logged = PromotionEvent.objects.create(
        kind=successor.kind,
        source=successor.source,
        action=action,
        from_version=champion,
        to_version=successor,
        gate_accepted=successor.gate_accepted,
        gate_reasons=successor.gate_reasons,
        **event,
    )
    transaction.on_commit(serving.recheck_champions)
    return logged


def _verify(version: ModelVersion) -> None:
    serving.require_files(version)
    serving.require_parts(version)
    artifacts.verify_in_child(version.kind, version.digest)


def _required_reason(reason: str) -> str:
    if not reason.strip():
        raise PromotionRefused(["a reason is required for the promotion log"])
    return reason.strip()
