"""Who may ask, from where, and how much."""

import asyncio
import socket

import pytest

from foreknow.errors import ConfigError
from foreknow.service.access import Access, check_bind, is_loopback, names_of
from foreknow.service.server import HTTPServer, listen

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer "}])
def test_without_the_token_nothing_is_told_but_health(ask, header):
    http = ask(token=TOKEN)
    for path in ("/v1/jobs", "/", "/openapi.json", "/v1/nothing"):
        answer = http.get(path, headers=header)
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "AccessError")
        assert TOKEN not in answer.text
    assert http.get("/v1/health", headers=header).status_code == 200


def test_with_the_token_all_is_open(ask):
    http = ask(token=TOKEN)
    assert http.get("/v1/jobs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8770", "127.0.0.1.evil.example", "", "[::2]"])
def test_a_name_that_is_not_the_engines_is_refused(http, host):
    """A page elsewhere can give its own name this machine's address; the browser then takes it for one site."""
    assert http.get("/v1/health", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8770", "localhost", "LOCALHOST:1", "[::1]:8770"])
def test_names_of_this_machine_are_taken(http, host):
    assert http.get("/v1/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:5000", "null", "https://localhost"])
def test_pages_of_other_origins_are_refused(http, origin):
    answer = http.post("/v1/jobs", json={"kind": "train"}, headers={"origin": origin})
    assert answer.status_code == 403


def test_its_own_pages_and_named_origins_may(ask):
    http = ask(origins=["http://127.0.0.1:8501"])
    for origin in ("http://127.0.0.1:8770", "http://127.0.0.1:8501"):
        assert http.get("/v1/jobs", headers={"origin": origin}).status_code == 200


def test_a_body_that_is_too_long_is_refused_said_or_not(ask):
    http = ask(max_body_bytes=1000)
    assert http.post("/v1/jobs", content=b"x" * 1001).status_code == 413
    chunks = (b"x" * 400 for _ in range(3))  # no length is told beforehand
    assert http.post("/v1/jobs", content=chunks).status_code == 413
    assert http.post("/v1/jobs", content=b"x" * 1000).status_code == 400


def test_a_client_that_sends_slowly_is_given_up(engine):
    sent = []

    async def app(scope, receive, send):
        raise AssertionError("nothing behind waits for it")

    async def receive():
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"host", b"localhost")]}
    asyncio.run(Access(app, token=None, hosts=["localhost"], body_timeout_s=0.05)(scope, receive, send))
    assert sent[0]["status"] == 408


def test_beyond_this_machine_a_token_is_demanded():
    check_bind("127.0.0.1", None)
    check_bind("0.0.0.0", TOKEN)
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ConfigError, match=r"anybody could use it\nHint: set FOREKNOW_TOKEN"):
            check_bind(host, None)
    with pytest.raises(ConfigError, match="too short"):
        check_bind("127.0.0.1", "short")


def test_the_names_of_a_machine_are_known():
    assert names_of("127.0.0.1") == {"127.0.0.1", "localhost", "::1"}
    assert "127.0.0.1" in names_of("0.0.0.0")
    assert is_loopback("127.0.0.2")
    assert not is_loopback("0.0.0.0")


def test_a_port_that_is_taken_gives_the_next():
    first = listen(port=18770)
    second = listen(port=first.getsockname()[1])
    assert second.getsockname()[1] > first.getsockname()[1]
    first.close()
    second.close()


def test_answers_are_sent_at_once():
    """Asyncio switches Nagle's algorithm off for sockets that say they are TCP's; else a call takes 40 ms."""
    listening = listen(port=0)
    assert listening.proto == socket.IPPROTO_TCP
    listening.close()


def test_a_server_starts_and_ends():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    server = HTTPServer(app, listen(port=0)).start()
    assert server.is_running
    assert server.address.startswith("http://127.0.0.1:")
    server.stop()
    assert not server.is_running
