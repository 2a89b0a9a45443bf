"""The sign-in link of `up`: valid once, for ten minutes."""

import pytest
from django.test import Client

from mlengine_project.console.sign_in import one_time_link, one_time_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(django_user_model):
    return django_user_model.objects.create_superuser("ada", password="a long secret")


def address(user):
    link = one_time_link("http://127.0.0.1:8000/", user)
    assert link.startswith("http://127.0.0.1:8000/console/sign-in/")
    return link.removeprefix("http://127.0.0.1:8000")


def is_signed_in(client):
    return "_auth_user_id" in client.session


def test_link_is_used_by_the_button_and_not_by_opening_it(client, ada):
    link = address(ada)
    for _ in range(3):
        assert client.get(link).status_code == 200
    assert not is_signed_in(client)
    done = client.post(link)
    assert done["Location"] == "/"
    assert client.session["_auth_user_id"] == str(ada.pk)


def test_a_second_use_is_refused(client, ada):
    link = address(ada)
    Client().post(link)
    again = client.post(link)
    assert again.status_code == 410
    assert not is_signed_in(client)


def test_sign_in_invalidates_all_earlier_links(client, ada):
    first, second = address(ada), address(ada)
    Client().post(first)
    assert client.post(second).status_code == 410


def test_link_expires_after_ten_minutes(client, ada, just_after_a_close):
    link = address(ada)
    just_after_a_close.advance(601)
    assert client.get(link).status_code == 410
    assert client.post(link).status_code == 410
    assert not is_signed_in(client)


def test_a_forged_or_foreign_token_is_refused(client, ada):
    token = one_time_token(ada)
    for forged in (token[:-2] + "xx", "nonsense", "a:b:c"):
        assert client.post(f"/console/sign-in/{forged}").status_code == 410
    assert not is_signed_in(client)


def test_inactive_user_cannot_use_the_link(client, ada):
    link = address(ada)
    ada.is_active = False
    ada.save()
    assert client.post(link).status_code == 410


def test_button_needs_the_csrf_token_of_its_page(ada):
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(address(ada)).status_code == 403
    assert not is_signed_in(strict)


def test_a_wrong_password_is_refused(client, ada):
    wrong = {"username": "ada", "password": "guess"}
    refused = client.post("/console/sign-in", wrong)
    assert refused.status_code == 400
    assert "do not match" in refused.content.decode()
