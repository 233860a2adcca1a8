"""Who may ask: Host and Origin, the token, the size of what is sent. Before anything else sees a request."""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

import psutil
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foreknow.errors import AccessError, ConfigError
from foreknow.service.errors import answer

__all__ = ["Access", "check_bind", "is_loopback", "names_of"]

MAX_BODY_BYTES = 1 << 20
BODY_TIMEOUT_S = 30.0
OPEN_PATHS = ("/v1/health",)  # for whoever watches over the engine
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    return host in LOOPBACK or host.startswith("127.")


def check_bind(host: str, token: str | None) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises:
        ConfigError: There is none, or it is too short to be one.
    """
    if token is not None and len(token) < 16:
        raise ConfigError("FOREKNOW_TOKEN is too short", hint="16 characters or more, e.g. of: openssl rand -hex 16")
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"listening on {host}, others than this machine can reach the engine, and anybody could use it",
            hint="set FOREKNOW_TOKEN to a secret of 16 characters or more; clients send it too",
        )


def names_of(host: str) -> set[str]:
    """The names a server listening on a host may be called by: a page elsewhere can't make itself one of them."""
    names = {*LOOPBACK, host.lower()}
    if not is_loopback(host):
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        names |= {a.address.partition("%")[0].lower() for found in psutil.net_if_addrs().values() for a in found}
    return names


class Access:
    """ASGI middleware.

    Args:
        app: What stands behind.
        token: Demanded as ``Authorization: Bearer`` if given.
        hosts: Names the server may be called by.
        origins: Further web origins that may use it; its own may always.
        max_body_bytes: Longest request body.
        body_timeout_s: How long a client may take to send it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        hosts: Collection[str],
        origins: Collection[str] = (),
        max_body_bytes: int = MAX_BODY_BYTES,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._app, self._hosts, self._origins = app, {h.lower() for h in hosts}, set(origins)
        self._token = None if token is None else token.encode()
        self._max, self._timeout_s = max_body_bytes, body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(headers, scope["path"])
        if refusal is not None:
            status, error = refusal
            await answer(error, status)(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(self._body(receive), self._timeout_s)
        except TimeoutError:
            text = f"the request was not whole after {self._timeout_s:g} s"
            await answer(AccessError(text), 408)(scope, receive, send)
            return
        if body is None:
            await answer(self._too_long(), 413)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None if it is too long. Nothing behind waits for a slow client."""
        body: bytes = b""
        while True:
            message = await receive()
            body += bytes(message.get("body", b""))
            if len(body) > self._max:
                return None
            if not message.get("more_body", False):  # the last piece, or the client is gone
                return body

    def _refusal(self, headers: Headers, path: str) -> tuple[int, AccessError] | None:
        host = headers.get("host", "")
        if (urlsplit(f"//{host}").hostname or "") not in self._hosts:
            hint = "call it by the address it was started with; --allow-host NAME adds a name"
            return 421, AccessError(f"the engine isn't called '{host}'", hint=hint)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host and origin not in self._origins:
            return 403, AccessError(f"pages of {origin} may not use the engine")
        if self._token is not None and path not in OPEN_PATHS:
            given = headers.get("authorization", "").removeprefix("Bearer ").encode()
            if not hmac.compare_digest(given, self._token):
                hint = "set FOREKNOW_TOKEN to the engine's"
                return 401, AccessError("the token is missing or wrong", hint=hint)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._max:
            return 413, self._too_long()
        return None

    def _too_long(self) -> AccessError:
        return AccessError(f"the request is longer than {self._max:,} bytes")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body in one piece, then whatever else happens to the connection."""
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
