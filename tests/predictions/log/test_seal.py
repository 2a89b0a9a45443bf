"""The bytes under a seal never change: rows of every earlier version must still verify."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from predictions.log import seal

RECORD = {
    "id": UUID(int=7), "market_id": 3, "symbol": "币安USDT", "made_at": datetime(2025, 1, 1, tzinfo=UTC),
    "valid_until": datetime(2025, 1, 1, 2, 0, 0, 5000, timezone(timedelta(hours=1))), "late": False,
    "current_price": Decimal("1E+3"), "predicted_low": Decimal("0.00000001"), "take_profit": None,
    "data_age_seconds": 1e-7, "expected_net_return": 1e16, "high_quantiles": ["1.50000000", 'quote" \\ \t'],
    "coverage": [{"n": 0, "level": 0.5, "high": None}], "model_versions": {"b": "2", "a": "1"}, "chain_index": 2**60,
}  # fmt: skip
CANONICAL = (
    '{"chain_index":1152921504606846976,"coverage":[{"high":null,"level":0.5,"n":0}],"current_price":"1000",'
    '"data_age_seconds":1e-7,"expected_net_return":1e+16,"high_quantiles":["1.50000000","quote\\" \\\\ \\t"],'
    '"id":"00000000-0000-0000-0000-000000000007","late":false,"made_at":"2025-01-01T00:00:00.000000Z","market_id":3,'
    '"model_versions":{"a":"1","b":"2"},"predicted_low":"0.00000001","symbol":"币安USDT","take_profit":null,'
    '"valid_until":"2025-01-01T01:00:00.005000Z"}'
)


def test_bytes_of_every_type():
    assert seal.canonical(RECORD).decode() == CANONICAL


def test_a_value_without_a_form_is_refused():
    with pytest.raises(TypeError):
        seal.canonical({"value": object()})
