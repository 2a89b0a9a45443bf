"""Kill switch in the admin: visible, restricted by permission, with a required reason."""

import re

import pytest
from django.contrib.auth.models import Permission

from signals import kill_switch
from signals.models import SignalSwitch
from tests.mlengine_project.console import rows

pytestmark = pytest.mark.django_db
LIST = "/admin/signals/signalswitch/"


@pytest.fixture(autouse=True)
def served(settings):
    settings.ALLOWED_HOSTS = ["testserver"]


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_off_and_on_again_with_reasons(admin_client):
    assert "Signals are on for all markets" in text_of(admin_client.get(LIST))
    off = admin_client.post(LIST + "switch_off_all/", {"reason": "prices look wrong"}, follow=True)
    assert "Signals are off for all markets" in text_of(off)
    assert "prices look wrong (admin" in text_of(off)
    assert kill_switch.switched_off_symbols() == {"": "prices look wrong"}
    on = admin_client.post(LIST + "switch_on_all/", {"reason": "feed repaired"}, follow=True)
    assert "Signals are on for all markets" in text_of(on)
    assert kill_switch.switched_off_symbols() == {}


def test_the_console_shows_it_while_signals_are_off(admin_client):
    rows.market()
    admin_client.post(LIST + "switch_off_all/", {"reason": "prices look wrong"})
    shown = text_of(admin_client.get("/"))
    assert "Signals are switched off for all markets prices look wrong (admin)" in shown


def test_one_market_alone(admin_client):
    for symbol in ("BTCUSDT", "ETHUSDT"):
        rows.market(symbol)
    admin_client.post(LIST + "switch_off_one/", {"symbol": "ETHUSDT", "reason": "delisting"})
    assert kill_switch.switched_off_symbols() == {"ETHUSDT": "delisting"}
    row = SignalSwitch.objects.get(symbol="ETHUSDT")
    admin_client.post(f"{LIST}{row.pk}/toggle/", {"reason": "stays listed"})
    assert kill_switch.switched_off_symbols() == {}


def test_an_unknown_market_is_refused(admin_client):
    rows.market("BTCUSDT")
    answer = admin_client.post(LIST + "switch_off_one/", {"symbol": "NOPE", "reason": "x"})
    assert "Select a valid choice" in text_of(answer)
    assert not SignalSwitch.objects.exists()


def test_get_changes_nothing_and_a_reason_is_required(admin_client):
    assert admin_client.get(LIST + "switch_off_all/").status_code == 200
    assert "required" in text_of(admin_client.post(LIST + "switch_off_all/", {}))
    assert not SignalSwitch.objects.exists()


def test_changing_it_needs_the_permission(client, django_user_model):
    user = django_user_model.objects.create_user("eve", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_signalswitch"))
    client.force_login(user)
    seen = client.get(LIST)
    assert seen.status_code == 200
    assert "switch_off_all" not in seen.content.decode()
    assert client.post(LIST + "switch_off_all/", {"reason": "x"}).status_code == 403
    assert not SignalSwitch.objects.exists()
