"""Forwarded headers: a trusted proxy's word counts, anybody else's is removed."""

from ipaddress import ip_network

from mlengine_project.access.proxy import rewritten

NETWORKS = [ip_network("10.0.0.0/8")]


def scope(client, **headers):
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "scheme": "http", "client": (client, 5), "headers": pairs}


def test_a_strangers_forwarded_headers_are_removed():
    seen = rewritten(scope("203.0.113.5", x_forwarded_for="1.2.3.4", x_forwarded_proto="https", accept="*/*"), NETWORKS)
    assert seen["client"][0] == "203.0.113.5"
    assert seen["scheme"] == "http"
    assert seen["headers"] == [(b"accept", b"*/*")]


def test_a_trusted_proxy_names_scheme_and_client():
    seen = rewritten(scope("10.1.1.1", x_forwarded_for="1.2.3.4", x_forwarded_proto="https"), NETWORKS)
    assert (seen["client"][0], seen["scheme"]) == ("1.2.3.4", "https")


def test_a_client_cannot_hide_behind_a_made_up_first_hop():
    seen = rewritten(scope("10.1.1.1", x_forwarded_for="9.9.9.9, 198.51.100.7, 10.2.2.2"), NETWORKS)
    assert seen["client"][0] == "198.51.100.7"


def test_without_trusted_networks_nothing_is_believed():
    seen = rewritten(scope("127.0.0.1", x_forwarded_for="1.2.3.4"), [])
    assert seen["client"][0] == "127.0.0.1"


def test_a_websocket_becomes_wss():
    given = {**scope("10.1.1.1", x_forwarded_proto="https"), "type": "websocket", "scheme": "ws"}
    assert rewritten(given, NETWORKS)["scheme"] == "wss"
