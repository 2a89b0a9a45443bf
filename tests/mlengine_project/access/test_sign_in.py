"""Password sign-ins: one throttle for both forms, by address and by account, that does not lock the owner out."""

import re
import threading
from html import unescape

import pytest
from django.db import OperationalError, connection
from django.test import Client, RequestFactory

from marketdata import clock
from mlengine_project.access.models import KnownAddress
from mlengine_project.access.sign_in import (
    ATTEMPTS_PER_MINUTE,
    DEVICE_COOKIE,
    KNOWN_ATTEMPTS_PER_MINUTE,
    MAX_ADDRESSES_PER_USER,
    SignInAttempt,
    record_sign_in,
)
from mlengine_project.access.sliding_window import window
from mlengine_project.console.sign_in import one_time_link
from tests.mlengine_project.buckets import empty_buckets

pytestmark = pytest.mark.django_db
ADMIN, CONSOLE = "/admin/login/", "/console/sign-in"
PASSWORD = "a long secret"
ELSEWHERE, HOME = "198.51.100.7", "203.0.113.5"
FOREIGN_NEXT = [
    "https://elsewhere.example/",
    "//elsewhere.example",
    "///elsewhere.example",
    "////elsewhere.example",
    "https:elsewhere.example",
    "https:/elsewhere.example",
    "https:///elsewhere.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "\\\\elsewhere.example",
    "/\\elsewhere.example",
    "\\/elsewhere.example",
    "/\t/elsewhere.example",
    "/\n/elsewhere.example",
    "\x08//elsewhere.example",
    " //elsewhere.example",
    "http://testserver:9999/",
    "http://testserver@elsewhere.example/",
    "//testserver.elsewhere.example/",
    "http://[::1",
    "ftp://testserver/",
]
INVALID_NEXT = ["%2f%2felsewhere.example", "%5c%5celsewhere.example", "elsewhere", "console:sign_out", "é" * 3000]


@pytest.fixture(autouse=True)
def empty_limits(settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    empty_buckets()


@pytest.fixture
def ada(django_user_model):
    return django_user_model.objects.create_superuser("ada", password=PASSWORD)


def attempt(client, path, password, address=HOME, name="ada", **fields):
    return client.post(path, {"username": name, "password": password, **fields}, REMOTE_ADDR=address)


def attack(count=ATTEMPTS_PER_MINUTE, address=None, name="ada"):
    """Wrong passwords without their pages, from one address or each from a different one."""
    for n in range(count):
        tried = SignInAttempt(RequestFactory().post(ADMIN, REMOTE_ADDR=address or f"198.51.100.{n + 1}"), name)
        if tried.admit():
            tried.failed()


def is_signed_in(client):
    return "_auth_user_id" in client.session


def statuses(path, count, addresses=(ELSEWHERE,), **fields):
    client = Client()
    return [
        attempt(client, path, f"guess {n}", addresses[n % len(addresses)], **fields).status_code for n in range(count)
    ]


@pytest.mark.parametrize(("path", "wrong"), [(ADMIN, 200), (CONSOLE, 400)])
def test_attempts_from_one_address_are_limited(ada, path, wrong):
    assert statuses(path, 30) == [wrong] * ATTEMPTS_PER_MINUTE + [429] * (30 - ATTEMPTS_PER_MINUTE)
    late = Client()
    refused = attempt(late, path, PASSWORD, ELSEWHERE)
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert f"wait {refused['Retry-After']} seconds" in refused.content.decode()
    assert not is_signed_in(late)


def test_both_forms_count_together(ada):
    statuses(ADMIN, ATTEMPTS_PER_MINUTE // 2)
    assert statuses(CONSOLE, ATTEMPTS_PER_MINUTE)[-1] == 429
    assert statuses(ADMIN, 1) == [429]


def test_other_accounts_from_the_same_address_count_too(ada):
    for n in range(ATTEMPTS_PER_MINUTE):
        attack(1, ELSEWHERE, name=f"user {n}")
    assert statuses(ADMIN, 1, name="another") == [429]
    assert statuses(ADMIN, 1, [HOME], name="another") == [200]


@pytest.mark.parametrize("path", [ADMIN, CONSOLE])
def test_attempts_at_one_account_from_unknown_addresses_are_limited(ada, path):
    addresses = [f"198.51.100.{n}" for n in range(1, 31)]
    assert statuses(path, 30, addresses)[ATTEMPTS_PER_MINUTE:] == [429] * 10
    assert statuses(path, 1, [HOME], name="grace") != [429], "other accounts are not affected"


def test_an_ipv6_subscriber_is_one_address(ada):
    for n in range(ATTEMPTS_PER_MINUTE):
        attack(1, f"2001:db8:1:2::{n:x}", name=f"user {n}")
    assert statuses(CONSOLE, 1, ["2001:db8:1:2:ffff::1"], name="another") == [429]
    assert statuses(CONSOLE, 1, ["2001:db8:1:3::1"], name="another") == [400]


@pytest.mark.parametrize("path", [ADMIN, CONSOLE])
def test_known_address_signs_in_without_a_cookie_during_an_attack(ada, path):
    assert attempt(Client(), ADMIN, PASSWORD).status_code == 302
    attack()
    owner, unknown_client = Client(), Client()
    assert attempt(owner, path, PASSWORD).status_code == 302
    assert is_signed_in(owner)
    assert attempt(unknown_client, path, PASSWORD, ELSEWHERE).status_code == 429
    assert not is_signed_in(unknown_client)


@pytest.mark.parametrize("path", [ADMIN, CONSOLE])
def test_known_device_signs_in_from_any_address_during_an_attack(ada, path):
    owner = Client()
    assert attempt(owner, path, PASSWORD).status_code == 302
    owner.post("/console/sign-out")
    attack()
    assert attempt(owner, path, PASSWORD, "192.0.2.77").status_code == 302


def test_attack_from_the_owners_address_does_not_block_the_owner(ada):
    attempt(Client(), ADMIN, PASSWORD)
    found = statuses(ADMIN, 30, [HOME])
    assert found[ATTEMPTS_PER_MINUTE:] == [429] * 10
    assert attempt(Client(), ADMIN, PASSWORD).status_code == 302


def test_attempts_from_a_known_address_are_limited_and_the_known_device_is_not(ada):
    owner = Client()
    attempt(owner, CONSOLE, PASSWORD)
    owner.post("/console/sign-out")
    attack(KNOWN_ATTEMPTS_PER_MINUTE + ATTEMPTS_PER_MINUTE, HOME)
    assert statuses(CONSOLE, 1, [HOME]) == [429]
    late = Client()
    assert attempt(late, CONSOLE, PASSWORD).status_code == 429, "the last attempt of another device is not compared"
    assert attempt(owner, CONSOLE, PASSWORD).status_code == 302


def test_a_known_address_is_known_for_its_own_account_only(ada, django_user_model):
    django_user_model.objects.create_superuser("grace", password=PASSWORD)
    attempt(Client(), CONSOLE, PASSWORD)
    attack(name="grace")
    assert attempt(Client(), CONSOLE, PASSWORD, name="grace").status_code == 429


def test_forged_device_cookie_is_ignored(ada):
    attack()
    for forged in ("", "x", "a:b:c", "[]", "é", "x" * 5000):
        client = Client()
        client.cookies[DEVICE_COOKIE] = forged
        assert attempt(client, CONSOLE, PASSWORD).status_code == 429


def test_device_cookie_of_another_account_is_ignored(ada, django_user_model):
    django_user_model.objects.create_user("mallory", password=PASSWORD)
    mallory = Client()
    attempt(mallory, CONSOLE, PASSWORD, ELSEWHERE, name="mallory")
    assert mallory.cookies[DEVICE_COOKIE].value
    attack()
    assert attempt(mallory, CONSOLE, PASSWORD, ELSEWHERE).status_code == 429


def test_device_cookie_is_http_only_and_set_by_a_sign_in_only(ada, settings):
    settings.SESSION_COOKIE_SECURE = True
    client = Client()
    assert DEVICE_COOKIE not in attempt(client, CONSOLE, "wrong").cookies
    cookie = attempt(client, CONSOLE, PASSWORD).cookies[DEVICE_COOKIE]
    assert cookie["httponly"]
    assert cookie["secure"]
    assert cookie["samesite"] == "Lax"
    assert "ada" not in cookie.value


def test_sign_in_link_records_device_and_address(ada):
    client = Client()
    link = one_time_link("", ada)
    assert client.post(link, REMOTE_ADDR=HOME).cookies[DEVICE_COOKIE].value
    assert KnownAddress.objects.get().network == HOME


def test_signed_in_session_is_not_throttled(ada):
    owner = Client()
    attempt(owner, ADMIN, PASSWORD)
    attack(60, HOME)
    attack(60, ELSEWHERE)
    assert owner.get("/admin/", REMOTE_ADDR=HOME).status_code == 200
    assert owner.get("/", REMOTE_ADDR=ELSEWHERE).status_code == 200


def test_successful_sign_ins_are_not_limited(ada):
    assert {attempt(Client(), CONSOLE, PASSWORD).status_code for _ in range(ATTEMPTS_PER_MINUTE + 5)} == {302}


def test_known_addresses_are_limited_in_number_and_expire(ada):
    now = 1_790_000_000_000
    with clock.use(clock.FrozenClock(now)) as frozen:
        for n in range(MAX_ADDRESSES_PER_USER + 3):
            record_sign_in(RequestFactory().get("/", REMOTE_ADDR=f"203.0.113.{n}"), ada)
            frozen.advance(1)
        assert KnownAddress.objects.count() == MAX_ADDRESSES_PER_USER
        assert not KnownAddress.objects.filter(network="203.0.113.0").exists()
        frozen.advance(91 * 86_400)
        attack()
        assert attempt(Client(), CONSOLE, PASSWORD, "203.0.113.22").status_code == 429


def test_incomplete_form_is_not_counted(ada):
    client = Client()
    for path in (ADMIN, CONSOLE):
        for _ in range(2):
            client.get(path, REMOTE_ADDR=HOME)
            client.head(path, REMOTE_ADDR=HOME)
            client.options(path, REMOTE_ADDR=HOME)
            client.put(path, REMOTE_ADDR=HOME)
            attempt(client, path, "")
            attempt(client, path, "x", name="")
            attempt(client, path, "x", name="a\x00b")
    assert attempt(client, CONSOLE, "wrong").status_code == 400


@pytest.mark.parametrize("path", [ADMIN, CONSOLE])
@pytest.mark.parametrize("throttled", [False, True])
def test_a_failed_form_keeps_the_user_name_and_not_the_password(ada, path, throttled):
    if throttled:
        attack(ATTEMPTS_PER_MINUTE, HOME)
    name = '<b>"ada"</b>'
    page = attempt(Client(), path, "hunter2-hunter2", name=name).content.decode()
    field = re.search(r'<input[^>]*name="username"[^>]*>', page).group(0)
    assert f'value="{name}"' in unescape(field)
    assert "<b>" not in field
    assert "hunter2" not in page


@pytest.mark.parametrize("path", [ADMIN, CONSOLE])
def test_foreign_next_is_ignored(ada, path):
    for target in FOREIGN_NEXT + INVALID_NEXT:
        done = attempt(Client(), path, PASSWORD, next=target)
        assert done.status_code == 302, target
        location = done["Location"]
        if target in FOREIGN_NEXT or path == CONSOLE:
            assert location == ("/" if path == CONSOLE else "/admin/"), target
        assert not location.startswith(("//", "/\\", "\\", "http", "java")), target


@pytest.mark.parametrize("path", ["/", ADMIN])
def test_foreign_next_in_the_url_is_not_rendered(client, path):
    for target in FOREIGN_NEXT:
        page = client.get(path, {"next": target})
        assert page.status_code == 200, target
        assert f'href="{target}"' not in page.content.decode()
        assert f'name="next" value="{target}"' not in page.content.decode()


def test_foreign_next_of_the_admin_form_is_ignored(ada):
    for target in FOREIGN_NEXT:
        fields = {"username": "ada", "password": PASSWORD}
        done = Client().post(ADMIN, fields, query_params={"next": target}, REMOTE_ADDR=HOME)
        assert done["Location"] == "/admin/", target


@pytest.mark.parametrize("path", ["/admin/logout/", "/console/sign-out"])
def test_sign_out_redirects_to_this_site(ada, path):
    for target in FOREIGN_NEXT:
        client = Client()
        client.force_login(ada)
        done = client.post(path, {"next": target})
        assert "elsewhere" not in done.get("Location", ""), target
        assert not done.get("Location", "").startswith(("//", "http", "\\", "java")), target
        assert not is_signed_in(client)


def test_a_next_of_this_site_is_followed(ada):
    assert attempt(Client(), CONSOLE, PASSWORD, next="/market/BTCUSDT?a=1")["Location"] == "/market/BTCUSDT?a=1"
    assert attempt(Client(), ADMIN, PASSWORD, next="/admin/auth/user/")["Location"] == "/admin/auth/user/"


def test_there_is_no_password_reset(client):
    for path in ("/admin/password_reset/", "/password_reset/", "/accounts/password_reset/"):
        assert client.get(path).status_code in {302, 404}
    assert "orgot" not in client.get(ADMIN).content.decode()


def test_password_change_ends_other_sessions(ada):
    one, other = Client(), Client()
    attempt(one, ADMIN, PASSWORD)
    attempt(other, ADMIN, PASSWORD)
    fields = {"old_password": PASSWORD, "new_password1": "another long one", "new_password2": "another long one"}
    assert one.post("/admin/password_change/", fields).status_code == 302
    assert one.get("/admin/").status_code == 200
    assert other.get("/admin/").status_code == 302


def test_admin_admits_staff_only_and_counts_other_attempts(ada, django_user_model):
    django_user_model.objects.create_user("eve", password=PASSWORD)
    client = Client()
    found = [attempt(client, ADMIN, PASSWORD, name="eve").status_code for _ in range(25)]
    assert found == [200] * 20 + [429] * 5
    assert not is_signed_in(client)


def test_without_the_database_a_sign_in_is_unavailable_not_wrong(ada, monkeypatch):
    from mlengine_project.access import sign_in

    def away(*_, **__):
        raise OperationalError("connection refused")

    monkeypatch.setattr(sign_in.KnownAddress.objects, "filter", away)
    client = Client(raise_request_exception=False)
    for path in (ADMIN, CONSOLE):
        assert attempt(client, path, PASSWORD).status_code == 503


def test_without_redis_each_process_counts_for_itself(ada, settings, monkeypatch):
    settings.EMBEDDED = False
    shared = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = settings.CACHES | {"shared": shared}
    monkeypatch.setattr(window, "_script", None)
    assert statuses(ADMIN, 30) == [200] * ATTEMPTS_PER_MINUTE + [429] * 10
    window.clear()


@pytest.mark.django_db(transaction=True)
def test_parallel_attempts_are_limited_exactly(ada):
    start, found = threading.Barrier(6), []

    def hammer():
        client = Client()
        start.wait()
        try:
            found.extend(attempt(client, CONSOLE, "guess", ELSEWHERE).status_code for _ in range(8))
        finally:
            connection.close()

    threads = [threading.Thread(target=hammer) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [400] * ATTEMPTS_PER_MINUTE + [429] * (48 - ATTEMPTS_PER_MINUTE)
