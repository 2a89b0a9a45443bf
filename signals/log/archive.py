"""Archive of old signals and their messages; archived signals cannot be replayed."""

from typing import Any

from django.db.models import Max, Q

from predictions.log import chain
from predictions.log.archive import SealedLog
from predictions.models import ChainCut, ChainHead
from signals.models import OutboxMessage, SignalLog


def last_archived_seq(symbol: str) -> int:
    """Newest archived seq of a symbol; 0 while there is none."""
    cuts = ChainCut.objects.filter(log=ChainHead.Log.SIGNALS, market__symbol=symbol)
    return cuts.aggregate(last=Max("last_seq"))["last"] or 0


def _remove(keys: list[Any]) -> None:
    OutboxMessage.objects.filter(signal__in=keys).delete()
    SignalLog.objects.filter(pk__in=keys).delete()


SIGNALS = SealedLog(
    log=ChainHead.Log.SIGNALS,
    model=SignalLog,
    columns=chain.SIGNAL_COLUMNS,
    scorable=~Q(signal_type=SignalLog.Type.HOLD),
    still_needed=Q(outbox__isnull=False, outbox__sent_at__isnull=True),
    remove=_remove,
    has_seq=True,
)
