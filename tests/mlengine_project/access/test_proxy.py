"""Forwarded headers: accepted from trusted proxies, removed from other peers."""

from ipaddress import ip_network

import pytest

from mlengine_project.access.proxy import rewritten

NETWORKS = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
SERVER = ("127.0.0.1", 8000)


def scope(client, *pairs, server=SERVER, **headers):
    pairs += tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return {
        "type": "http",
        "scheme": "http",
        "client": (client, 5) if client else None,
        "server": server,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
    }


def client_seen(given, networks=NETWORKS, **how):
    return rewritten(given, networks, **how)["client"][0]


def test_forwarded_headers_of_an_untrusted_peer_are_removed():
    seen = rewritten(scope("203.0.113.5", x_forwarded_for="1.2.3.4", x_forwarded_proto="https", accept="*/*"), NETWORKS)
    assert seen["client"][0] == "203.0.113.5"
    assert seen["scheme"] == "http"
    assert seen["headers"] == [(b"accept", b"*/*")]


def test_a_trusted_proxy_names_scheme_and_client():
    seen = rewritten(scope("10.1.1.1", x_forwarded_for="1.2.3.4", x_forwarded_proto="https"), NETWORKS)
    assert (seen["client"][0], seen["scheme"]) == ("1.2.3.4", "https")


@pytest.mark.parametrize("name", ["x_forwarded_host", "x_forwarded_port", "forwarded"])
def test_other_forwarded_headers_of_a_trusted_proxy_are_removed(name):
    seen = rewritten(scope("10.1.1.1", host="a.example", **{name: "443"}), NETWORKS)
    assert seen["headers"] == [(b"host", b"a.example")]


@pytest.mark.parametrize(
    ("hops", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("9.9.9.9, 198.51.100.7", "198.51.100.7"),
        ("9.9.9.9, 198.51.100.7, 10.2.2.2", "198.51.100.7"),
        ("9.9.9.9,198.51.100.7 ,10.2.2.2,10.3.3.3,fd00::5", "198.51.100.7"),
        ("9.9.9.9, 10.2.2.2, 198.51.100.7, 10.3.3.3", "198.51.100.7"),
        (", ,198.51.100.7,, ", "198.51.100.7"),
        ("10.4.4.4, 10.2.2.2", "10.4.4.4"),
        ("2001:db8::1", "2001:db8::1"),
        ("9.9.9.9, [2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("198.51.100.7:50123", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("198.51.100.7, ::ffff:10.2.2.2", "198.51.100.7"),
        (", ".join(["9.9.9.9"] * 500 + ["198.51.100.7"] + ["10.2.2.2"] * 20), "198.51.100.7"),
    ],
)
def test_nearest_untrusted_hop_is_the_client(hops, client):
    assert client_seen(scope("10.1.1.1", x_forwarded_for=hops)) == client


@pytest.mark.parametrize(
    "hops", ["unknown", "_hidden", "9.9.9.9, garbage", "1.2.3", "a:b:c", "\xff\xfe", "[", "1.2.3.4%"]
)
def test_invalid_address_leaves_the_proxy_as_the_client(hops):
    assert client_seen(scope("10.1.1.1", x_forwarded_for=hops)) == "10.1.1.1"
    assert client_seen(scope("10.1.1.1", x_forwarded_for=f"{hops}, 10.2.2.2")) == "10.2.2.2"


def test_hops_in_several_lines_are_one_list():
    given = scope("10.1.1.1", ("x-forwarded-for", "9.9.9.9, 198.51.100.7"), ("x-forwarded-for", "10.2.2.2"))
    assert client_seen(given) == "198.51.100.7"


@pytest.mark.parametrize("peer", ["10.1.1.1", "fd00::1", "::ffff:10.1.1.1"])
def test_proxies_of_both_families_are_trusted(peer):
    assert client_seen(scope(peer, x_forwarded_for="1.2.3.4")) == "1.2.3.4"


def test_a_network_may_be_written_as_ipv4_inside_ipv6():
    networks = [ip_network("::ffff:10.0.0.0/104")]
    assert client_seen(scope("10.1.1.1", x_forwarded_for="1.2.3.4"), networks) == "1.2.3.4"
    assert client_seen(scope("11.1.1.1", x_forwarded_for="1.2.3.4"), networks) == "11.1.1.1"


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "fe80::1%eth0", "not an address"])
def test_without_trusted_networks_forwarded_headers_are_ignored(peer):
    assert client_seen(scope(peer, x_forwarded_for="1.2.3.4"), []) == peer


@pytest.mark.parametrize(
    ("hops", "schemes", "scheme"),
    [
        ("1.2.3.4", "https", "https"),
        ("1.2.3.4", "HTTPS", "https"),
        ("1.2.3.4", "wss", "https"),
        ("1.2.3.4", "http", "http"),
        ("1.2.3.4, 10.2.2.2", "https, http", "https"),
        ("1.2.3.4, 10.2.2.2", "https", "https"),
        ("9.9.9.9, 1.2.3.4", "https, http", "http"),
        ("9.9.9.9, 1.2.3.4, 10.2.2.2", "http, https, http", "https"),
        ("", "https", "https"),
        ("1.2.3.4", "ftp", "http"),
        ("1.2.3.4", "", "http"),
    ],
)
def test_the_scheme_is_the_one_the_client_used_at_the_outermost_trusted_proxy(hops, schemes, scheme):
    seen = rewritten(scope("10.1.1.1", x_forwarded_for=hops, x_forwarded_proto=schemes), NETWORKS)
    assert seen["scheme"] == scheme


def test_a_websocket_becomes_wss():
    given = {**scope("10.1.1.1", x_forwarded_proto="https"), "type": "websocket", "scheme": "ws"}
    assert rewritten(given, NETWORKS)["scheme"] == "wss"


def test_a_unix_socket_is_trusted_where_the_setting_says_so():
    given = scope(None, x_forwarded_for="1.2.3.4", x_forwarded_proto="https", server=("/run/mlengine.sock", None))
    assert client_seen(given, trust_socket=True) == "1.2.3.4"
    unasked = rewritten(given, NETWORKS)
    assert (unasked["client"], unasked["scheme"]) == (None, "http")


@pytest.mark.parametrize("server", [SERVER, None])
def test_closed_connection_without_an_address_is_not_a_unix_socket(server):
    seen = rewritten(scope(None, x_forwarded_for="1.2.3.4", server=server), NETWORKS, trust_socket=True)
    assert seen["client"] is None
