"""Pages of a selection are those of Django's query with the same conditions and order."""

import random

import pytest

from marketdata.models import Market
from marketdata.storage.selections import Selection, reversed_column, rows_after
from marketdata.storage.text_rows import TextColumns

COLUMNS = TextColumns(Market, ("id", "symbol", "source", "trading"))
ORDERS = (("id",), ("-id",), ("source", "-trading", "symbol", "id"), ("-trading", "source", "-id"))


@pytest.fixture
def markets(db):
    """Markets whose sources and trading states repeat."""
    drawn = random.Random(5)
    return Market.objects.bulk_create([
        Market(symbol=f"M{number}", source=drawn.choice(("exchange", "simulated")), trading=drawn.choice("abc"),
               enabled=False)
        for number in range(60)
    ])  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("backwards", [False, True])
def test_pages_are_those_of_django(markets, order, backwards):
    selection = Selection(Market, order).where(trading__gte="b", enabled=False)
    ways = [reversed_column(name) for name in order] if backwards else order
    names, key, seen = [name.lstrip("-") for name in order], None, []
    while True:
        page = selection.page(COLUMNS, key, backwards, 7)
        rows = Market.objects.filter(trading__gte="b", enabled=False)
        rows = rows if key is None else rows.filter(rows_after(ways, key))
        assert page == list(rows.order_by(*ways).values_list(*COLUMNS.names)[:7])
        if not page:
            break
        seen += [row[0] for row in page]
        key = [dict(zip(COLUMNS.names, page[-1], strict=True))[name] for name in names]
    assert len(seen) == len(set(seen)) == selection.rows.count() > 14
    assert sorted(seen) == sorted(selection.rows.values_list("id", flat=True))


def test_selection_without_conditions_is_the_table(markets):
    assert len(Selection(Market, ("id",)).page(COLUMNS, None, False, 1000)) == 60
