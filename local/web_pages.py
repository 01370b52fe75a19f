"""Refuses what web pages send: the engine runs what CreateFunction is given, as the developer, and a browser can reach it.

`engine.py` and `payment_provider.py` put it in front of everything else. A page of another site is told by `Origin` or
`Sec-Fetch-Site`, which browsers set and pages cannot change; a page whose name was made to resolve to this machine (DNS rebinding), by
`Host`. Programs send neither of the first two, and in the third name the loopback interface or an address: containers come by another
one than 127.0.0.1, and no page has an address for a name but one that this machine serves.
"""

import ipaddress
import urllib.parse

SENTENCE = "Refused: this looks like a request of a web page, or one for another host. Only programs on this machine are answered.\n"


def name_of(host: str) -> str:
    """The name or address without the port."""
    try:
        return urllib.parse.urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether this is a name of the loopback interface, with or without a port: RFC 6761 keeps `.localhost` for it."""
    name = name_of(host)
    return name in ("127.0.0.1", "localhost", "::1") or name.endswith(".localhost")


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(name_of(host))
    except ValueError:
        return False
    return True


def is_foreign(headers) -> bool:
    """Whether a request with these pairs of names and values is a web page's, or for another host."""
    pairs = [(name.lower(), value.strip()) for name, value in headers]
    hosts = [value for name, value in pairs if name == "host"]
    origins = [value for name, value in pairs if name == "origin"]
    sites = [value for name, value in pairs if name == "sec-fetch-site"]
    return (
        len(hosts) != 1
        or not (is_loopback(hosts[0]) or is_address(hosts[0]))
        # `null` is the origin of a page without one: a file, a sandboxed frame.
        or any(not is_loopback(origin.partition("://")[2]) for origin in origins)
        or any(site not in ("same-origin", "none") for site in sites)
    )


async def refuse(scope, receive, send, content_type: str, text: str) -> None:
    """Answers a request to an ASGI application with 403, or closes a web socket before it opens."""
    if scope["type"] == "websocket":
        await receive()
        return await send({"type": "websocket.close", "code": 1008})
    body = text.encode()
    head = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": head})
    await send({"type": "http.response.body", "body": body})


def stand_before(app):
    """An ASGI application that hands on to `app` what is not foreign."""

    async def stood(scope, receive, send):
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope.get("headers", [])]
        if scope["type"] == "lifespan" or not is_foreign(headers):
            return await app(scope, receive, send)
        await refuse(scope, receive, send, "text/plain; charset=utf-8", SENTENCE)

    return stood
