"""API keys: generation, HMAC storage, verification, rotation, revocation."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models import QuerySet

from marketdata import clock
from mlengine_project.access import keys, services
from mlengine_project.access.errors import InvalidAPIKey, KeyStoreUnavailable, TooManyWrongKeys
from mlengine_project.access.models import ApiKey
from tests.mlengine_project.buckets import empty_buckets

pytestmark = pytest.mark.django_db
NOW = 1_790_000_000_000


@pytest.fixture(autouse=True)
def new_process():
    services.clear_verified()
    empty_buckets()


@pytest.fixture
def database_away(monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("connection refused")

    monkeypatch.setattr(QuerySet, "first", refuse)


def test_key_has_its_prefix_and_256_random_bits():
    drawn = keys.new_key()
    assert drawn.secret.startswith("mle_")
    assert drawn.secret.startswith(drawn.prefix)
    assert len(drawn.secret.removeprefix(drawn.prefix + "_")) == 43
    assert len({keys.new_key().secret for _ in range(100)}) == 100


def test_key_is_not_stored_in_any_column():
    key, secret = services.create_key("someone", "read")
    stored = " ".join(str(value) for value in ApiKey.objects.values_list().get(pk=key.pk))
    assert secret not in stored
    assert secret.removeprefix(key.prefix) not in stored
    assert key.digest == keys.digest_of(secret)


def test_changed_pepper_invalidates_every_key(settings):
    _, secret = services.create_key("someone", "read")
    settings.API_KEY_PEPPER = "another pepper altogether"
    assert services.authenticate_key(secret) is None


@pytest.mark.parametrize(
    ("scope", "may"), [("read", ["read"]), ("predict", ["read", "predict"]), ("admin", ["read", "predict", "admin"])]
)
def test_scopes_nest(scope, may):
    identity = keys.Identity("1", "someone", scope)
    assert [scope for scope in ("read", "predict", "admin") if identity.includes(scope)] == may


def test_unknown_scope_is_refused():
    with pytest.raises(ValidationError):
        services.create_key("someone", "root")


@pytest.mark.parametrize("name", ["", "  "])
def test_key_without_a_holder_is_refused(name):
    with pytest.raises(CommandError, match="the name of its holder"):
        call_command("create_api_key", name)
    assert not ApiKey.objects.exists()


def test_bootstrap_key_has_admin_scope_without_a_database(settings, database_away):
    settings.API_KEY = "a bootstrap key of at least 32 characters"
    identity = services.authenticate_key(settings.API_KEY)
    assert identity.scope == "admin"
    assert identity.key_id == "bootstrap"


def test_empty_bootstrap_key_admits_no_caller(settings):
    settings.API_KEY = ""
    assert services.authenticate_key("") is None


def test_unknown_key_without_a_database_is_unavailable_not_invalid(database_away):
    with pytest.raises(KeyStoreUnavailable):
        services.identify("mle_00000000_unknown", "10.0.0.1")


def test_verified_key_stays_valid_without_a_database(monkeypatch):
    _, secret = services.create_key("someone", "read")
    assert services.authenticate_key(secret) is not None
    monkeypatch.setattr(QuerySet, "first", lambda *_: pytest.fail("queried the database"))
    assert services.authenticate_key(secret).scope == "read"


def test_key_revoked_by_another_process_is_refused_within_a_minute():
    key, secret = services.create_key("someone", "read")
    with clock.use(clock.FrozenClock(NOW)) as frozen:
        assert services.authenticate_key(secret)
        ApiKey.objects.filter(pk=key.pk).update(revoked_at=clock.wall_now())  # by another process
        frozen.advance(59)
        assert services.authenticate_key(secret) is None


def test_revoked_key_is_refused_at_once_in_the_same_process():
    key, secret = services.create_key("someone", "read")
    assert services.authenticate_key(secret)
    services.revoke_key(key)
    assert services.authenticate_key(secret) is None


def test_verified_key_is_not_cached_beyond_its_expiry():
    with clock.use(clock.FrozenClock(NOW)) as frozen:
        _, secret = services.create_key("someone", "read", expires_at=clock.wall_now() + timedelta(seconds=10))
        assert services.authenticate_key(secret)
        frozen.advance(11)
        assert services.authenticate_key(secret) is None


def test_both_keys_are_valid_until_the_overlap_ends():
    with clock.use(clock.FrozenClock(NOW)) as frozen:
        old, old_secret = services.create_key("someone", "predict")
        successor, secret = services.rotate_key(old, overlap=timedelta(hours=1))
        assert services.authenticate_key(old_secret)
        assert services.authenticate_key(secret).scope == "predict"
        assert ApiKey.objects.get(pk=old.pk).rotated_to == successor
        frozen.advance(3601)
        assert services.authenticate_key(old_secret) is None
        assert services.authenticate_key(secret)


@pytest.mark.parametrize(
    "secret", ["wrong", "mle_", "mle_00000000_" + "A" * 43, "\x00", "\udc80", "x" * 100_000, "ключ"]
)
def test_malformed_key_is_refused(secret):
    with pytest.raises(InvalidAPIKey):
        services.identify(secret, "10.0.0.1")


def test_wrong_keys_are_limited_per_minute_and_a_valid_key_is_not():
    _, secret = services.create_key("someone", "read")
    for attempt in range(100):
        with pytest.raises(InvalidAPIKey):
            services.identify(f"guess {attempt}", "10.0.0.1")
    with pytest.raises(TooManyWrongKeys) as refused:
        services.identify("guess 100", "10.0.0.1")
    assert 0 < refused.value.retry_after_seconds <= 60
    assert services.identify(secret, "10.0.0.1").scope == "read"
    with pytest.raises(InvalidAPIKey):
        services.identify("guess 101", "10.0.0.2")


def test_last_use_is_stored_to_the_minute():
    with clock.use(clock.FrozenClock(NOW)) as frozen:
        key, secret = services.create_key("someone", "read")
        services.authenticate_key(secret)
        assert services.record_key_use() == 1
        frozen.advance(30)
        services.authenticate_key(secret)
        assert services.record_key_use() == 0
        frozen.advance(31)
        services.authenticate_key(secret)
        assert services.record_key_use() == 1
        assert ApiKey.objects.get(pk=key.pk).last_used_at == clock.wall_now()
