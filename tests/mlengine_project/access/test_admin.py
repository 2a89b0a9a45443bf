"""Admin pages of API keys: creation, rotation, revocation, permissions."""

import re

import pytest
from django.contrib.auth.models import Permission

from mlengine_project.access import services
from mlengine_project.access.models import ApiKey

pytestmark = pytest.mark.django_db
LIST = "/admin/access/apikey/"


@pytest.fixture(autouse=True)
def served(settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    services.clear_verified()


def secret_on(response):
    return re.search(r'id="new-key">([^<]+)<', response.content.decode()).group(1)


def test_a_new_key_is_shown_once_and_works(admin_client):
    shown = admin_client.post(LIST + "create_key/", {"name": "backend", "scope": "predict"})
    secret = secret_on(shown)
    assert "no-store" in shown["Cache-Control"]
    assert services.authenticate_key(secret).scope == "predict"
    key = ApiKey.objects.get()
    for path in (LIST, f"{LIST}{key.pk}/change/"):
        page = admin_client.get(path).content.decode()
        assert key.prefix in page
        assert secret not in page
        assert key.digest not in page


def test_expiry_is_stored(admin_client):
    admin_client.post(
        LIST + "create_key/",
        {"name": "guest", "scope": "read", "expires_at_0": "2099-01-02", "expires_at_1": "03:04:00"},
    )
    assert ApiKey.objects.get().expires_at.isoformat() == "2099-01-02T03:04:00+00:00"


@pytest.mark.parametrize("wrong", [{"name": "", "scope": "read"}, {"name": "x", "scope": "root"}])
def test_a_key_without_a_holder_or_with_an_unknown_scope_is_refused(admin_client, wrong):
    assert admin_client.post(LIST + "create_key/", wrong).status_code == 200
    assert not ApiKey.objects.exists()


def test_rotation_creates_a_new_key_and_keeps_the_old_one_valid_for_a_day(admin_client):
    key, old = services.create_key("backend", "predict")
    assert admin_client.get(f"{LIST}{key.pk}/rotate/").status_code == 200
    assert ApiKey.objects.count() == 1
    new = secret_on(admin_client.post(f"{LIST}{key.pk}/rotate/"))
    assert services.authenticate_key(old).scope == services.authenticate_key(new).scope == "predict"
    key.refresh_from_db()
    assert key.expires_at is not None
    again = admin_client.post(f"{LIST}{key.pk}/rotate/", follow=True)
    assert "cannot be rotated" in again.content.decode()


def test_revoked_key_is_refused(admin_client):
    key, secret = services.create_key("backend", "predict")
    assert services.authenticate_key(secret)
    admin_client.get(f"{LIST}{key.pk}/revoke/")
    assert services.authenticate_key(secret)
    admin_client.post(f"{LIST}{key.pk}/revoke/")
    assert services.authenticate_key(secret) is None


def test_each_step_has_its_permission(client, django_user_model):
    key, _ = services.create_key("backend", "predict")
    person = django_user_model.objects.create_user("eve", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client.force_login(person)
    assert client.get(LIST).status_code == 200
    assert client.post(LIST + "create_key/", {"name": "mine", "scope": "admin"}).status_code == 403
    assert client.post(f"{LIST}{key.pk}/rotate/").status_code == 403
    assert client.post(f"{LIST}{key.pk}/revoke/").status_code == 403
    assert ApiKey.objects.get().revoked_at is None
