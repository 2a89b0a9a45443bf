"""Websocket tickets: valid once, for 30 seconds, while their key is valid."""

import threading

import pytest
from django.db import connection

from marketdata import clock
from mlengine_project.access import services, tickets
from mlengine_project.access.models import WebsocketTicket

NOW = 1_790_000_000_000


@pytest.fixture
def key_row(db):
    key, _ = services.create_key("someone", "predict")
    return key


def identity_of(key):
    from mlengine_project.access.keys import Identity

    return Identity(str(key.pk), key.name, key.scope)


def test_a_ticket_is_redeemed_once(key_row):
    ticket, _ = tickets.issue_ticket(identity_of(key_row))
    found = tickets.redeem_ticket(ticket)
    assert (found.key_id, found.scope) == (str(key_row.pk), "predict")
    assert tickets.redeem_ticket(ticket) is None


def test_a_ticket_ends_after_thirty_seconds(key_row):
    with clock.use(clock.FrozenClock(NOW)) as frozen:
        ticket, expires_at = tickets.issue_ticket(identity_of(key_row))
        assert (expires_at - clock.wall_now()).total_seconds() == 30
        frozen.advance(30)
        assert tickets.redeem_ticket(ticket) is None


def test_ticket_of_a_revoked_key_is_refused(key_row):
    ticket, _ = tickets.issue_ticket(identity_of(key_row))
    services.revoke_key(key_row)
    assert tickets.redeem_ticket(ticket) is None


@pytest.mark.parametrize("ticket", ["", "unknown", "x" * 10_000, "\x00", "\udc80"])
def test_malformed_ticket_is_refused(db, ticket):
    assert tickets.redeem_ticket(ticket) is None


def test_the_ticket_itself_is_not_stored(key_row):
    ticket, _ = tickets.issue_ticket(identity_of(key_row))
    assert ticket not in str(list(WebsocketTicket.objects.values_list()))


def test_old_tickets_are_deleted_when_new_ones_are_created(key_row):
    with clock.use(clock.FrozenClock(NOW)) as frozen:
        tickets.issue_ticket(identity_of(key_row))
        frozen.advance(2 * 3600)
        tickets.issue_ticket(identity_of(key_row))
        assert WebsocketTicket.objects.count() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_ticket_is_redeemed_once_by_concurrent_callers():
    key, _ = services.create_key("someone", "read")
    ticket, _ = tickets.issue_ticket(identity_of(key))
    start, won = threading.Barrier(8), []

    def redeem():
        start.wait()
        try:
            won.append(tickets.redeem_ticket(ticket) is not None)
        finally:
            connection.close()

    threads = [threading.Thread(target=redeem) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]
