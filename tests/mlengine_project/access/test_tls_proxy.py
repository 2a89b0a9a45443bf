"""The engine behind a TLS proxy on a port other than 443: sign-in, redirects, cookies, links and the websocket."""

import contextlib
import http.client
import json
import re
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

import pytest
import uvicorn
import websockets
from asgiref.sync import sync_to_async

from mlengine_project.access import services
from mlengine_project.access.models import KnownAddress
from tests.flows.processes import wait_until
from tests.mlengine_project.buckets import empty_buckets
from tests.mlengine_project.console import rows
from tests.tls_proxy import README_HEADERS, TlsProxy

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
]
PASSWORD = "a long secret"
WITHOUT_PORT = README_HEADERS | {"Host": "$host"}


@pytest.fixture
def engine(transactional_db, settings, django_user_model):
    """The port of the engine's own ASGI application, with a user."""
    settings.ALLOWED_HOSTS = ["localhost"]
    settings.TRUSTED_PROXY = ["127.0.0.0/8"]
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    empty_buckets()
    django_user_model.objects.create_superuser("ada", password=PASSWORD)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        with serving(sockets=[listening]):
            yield listening.getsockname()[1]


@contextlib.contextmanager
def serving(**how):
    """The engine's own ASGI application, listening on a socket or a path."""
    from mlengine_project.asgi import application

    sockets = how.pop("sockets", None)
    config = uvicorn.Config(
        application, lifespan="off", log_config=None, ws="websockets-sansio", proxy_headers=False, **how
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 20, "the server listens")
    yield
    server.should_exit = True
    thread.join(20)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Does not follow redirects."""

    def redirect_request(self, *_):
        return None


class Browser:
    """A client with cookies and the Origin and Referer of forms, without redirects."""

    def __init__(self, proxy):
        self.base, self.jar = f"https://localhost:{proxy.port}", CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=proxy.client_context),
            urllib.request.HTTPCookieProcessor(self.jar),
            NoRedirect,
        )

    def send_request(self, path, fields=None, **headers):
        content = None if fields is None else urllib.parse.urlencode(fields).encode()
        given = {"Accept": "text/html", **headers}
        if content is not None:
            given |= {"Origin": self.base, "Referer": self.base + path}
        try:
            return self.opener.open(urllib.request.Request(self.base + path, content, given), timeout=20)
        except urllib.error.HTTPError as answer:
            return answer

    def submit(self, page, action, **fields):
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.send_request(page).read().decode()).group(
            1
        )
        return self.send_request(action, {"csrfmiddlewaretoken": token, **fields})

    def sign_in(self, path, **fields):
        page = "/" if path == "/console/sign-in" else path
        return self.submit(page, path, username="ada", password=PASSWORD, **fields)


@pytest.mark.parametrize(("path", "start"), [("/admin/login/", "/admin/"), ("/console/sign-in", "/")])
def test_signing_in_and_out_works_with_secure_cookies_and_stays_on_this_port(engine, tmp_path, path, start):
    with TlsProxy(engine, tmp_path) as proxy:
        browser = Browser(proxy)
        done = browser.sign_in(path)
        assert (done.status, done.headers["Location"]) == (302, start)
        assert {cookie.name for cookie in browser.jar} == {"sessionid", "csrftoken", "mlengine_device"}
        assert all(cookie.secure for cookie in browser.jar)
        assert browser.send_request("/admin/").status == 200
        assert KnownAddress.objects.get().network == "127.0.0.1"
        assert browser.submit("/", "/console/sign-out").status == 302
        assert browser.send_request("/admin/").status == 302


@pytest.mark.parametrize("path", ["/admin/login/", "/console/sign-in"])
def test_next_redirects_to_this_port_only(engine, tmp_path, path):
    with TlsProxy(engine, tmp_path) as proxy:
        assert Browser(proxy).sign_in(path, next="/docs").headers["Location"] == "/docs"
        for target in (f"https://localhost:{proxy.port + 1}/", "https://localhost/", "http://localhost/"):
            assert Browser(proxy).sign_in(path, next=target).headers["Location"] in {"/", "/admin/"}


def test_proxy_that_drops_the_port_is_logged(engine, tmp_path, caplog):
    with TlsProxy(engine, tmp_path, WITHOUT_PORT) as proxy:
        assert Browser(proxy).sign_in("/admin/login/").status == 403
    assert "proxy_set_header Host $http_host" in caplog.text


async def test_the_session_opens_a_websocket_from_this_origin_and_no_other(engine, tmp_path):
    with TlsProxy(engine, tmp_path) as proxy:
        browser = Browser(proxy)
        await sync_to_async(browser.sign_in)("/console/sign-in")
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.jar)
        for origin, frame in ((browser.base, "authenticated"), (f"https://localhost:{proxy.port + 1}", None)):
            async with websockets.connect(
                f"wss://localhost:{proxy.port}/ws/signals",
                ssl=proxy.client_context,
                origin=origin,
                additional_headers={"Cookie": cookies},
            ) as client:
                if frame:
                    assert json.loads(await client.recv())["type"] == frame
                else:
                    with pytest.raises(websockets.ConnectionClosed) as closed:
                        await client.recv()
                    assert closed.value.rcvd.code == 4403


def test_links_of_lists_name_the_scheme_and_port_of_the_proxy(engine, tmp_path):
    _, secret = services.create_key("backend", "admin")
    for seed in (1, 2, 3):
        rows.version(seed=seed)
    with TlsProxy(engine, tmp_path) as proxy:
        answer = json.load(Browser(proxy).send_request("/models?limit=1", **{"X-API-Key": secret, "Accept": "*/*"}))
        assert answer["next"].startswith(f"https://localhost:{proxy.port}/models?")


def test_a_client_cannot_choose_the_address_it_is_counted_under(engine, tmp_path, settings):
    settings.TRUSTED_PROXY = ["127.0.0.1/32"]
    with TlsProxy(engine, tmp_path, peer="203.0.113.5") as proxy:
        browser = Browser(proxy)
        found = [
            browser.send_request("/markets", **{"X-API-Key": "guess", "X-Forwarded-For": f"198.51.100.{n}"}).status
            for n in range(101)
        ]
    assert found[-2:] == [401, 429]


@pytest.mark.parametrize(("trusted", "last"), [(["unix"], 401), (["127.0.0.0/8"], 429)])
def test_forwarded_address_counts_on_a_trusted_unix_socket(
    transactional_db, settings, monkeypatch, tmp_path, trusted, last
):
    settings.TRUSTED_PROXY, settings.ALLOWED_HOSTS = trusted, ["localhost"]
    monkeypatch.setattr(services, "WRONG_KEYS_PER_MINUTE", 2)
    empty_buckets()

    def send_request(address):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(tmp_path / "s"))
            head = f"GET /markets HTTP/1.1\r\nHost: localhost\r\nX-API-Key: guess\r\nX-Forwarded-For: {address}\r\n\r\n"
            connection.sendall(head.encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status

    with serving(uds=str(tmp_path / "s")):
        assert [send_request("203.0.113.5") for _ in range(3)] == [401, 401, 429]
        assert send_request("203.0.113.6") == last
