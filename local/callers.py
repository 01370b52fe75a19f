"""Refuses callers who do not know this run's key: the engine runs what CreateFunction is given, as the developer, and every program of
the machine can reach it, those of its other users among them.

`engine.py` puts it in front of the engine. The key of root is new with every start, and stands in a file that only its owner reads; the
engine by itself takes `test`, no key at all and any account's number for root's. It does not check root's signature, so the access key
itself is what must not be known. Keys of roles it checks by itself. Open to everybody stay the HTTP API of the stack, which customers
call, and the question whether the engine lives.
"""

import hmac
import json
import re

import web_pages

HEALTH = "/_ministack/health"
# Where the HTTP API is by its path, by its host, and the pages of the engine that AWS has not.
API = "/_aws/execute-api/"
API_HOST = re.compile(r"[a-z0-9]+\.execute-api\.")
OWN_PAGES = "/_"


def know_root_by(key: str) -> None:
    """Nobody is root without `key`."""
    from ministack import app
    from ministack.core import iam_evaluator
    from ministack.services import sts

    def is_root(access_key_id: str) -> bool:
        return hmac.compare_digest((access_key_id or "").encode(), key.encode())

    iam_evaluator.is_root_access_key = sts.is_root_access_key = is_root
    # A caller of the HTTP API is asked for no key, not even for a path without a route, which is answered with 404.
    wanted = app._execute_api_authorization_type
    app._execute_api_authorization_type = lambda *called: wanted(*called) or "NONE"


def stand_before(app):
    """An ASGI application that hands on to `app` what names a key, and what is for everybody."""
    from ministack.core import iam_evaluator
    from ministack.core.router import extract_access_key_id

    def is_known(scope) -> bool:
        path = scope["path"]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if path == HEALTH or path.startswith(API) or API_HOST.match(headers.get("host", "")):
            return True
        named = extract_access_key_id({"authorization": headers.get("authorization", "")}, {})
        # Whose any other key is, and whether the signature is right, the engine finds out.
        return iam_evaluator.is_root_access_key(named) if path.startswith(OWN_PAGES) else bool(named)

    async def stood(scope, receive, send):
        if scope["type"] == "lifespan" or (scope["type"] == "http" and is_known(scope)):
            return await app(scope, receive, send)
        error = {"__type": "MissingAuthenticationToken", "message": "Request is missing Authentication Token"}
        await web_pages.refuse(scope, receive, send, "application/json", json.dumps(error))

    return stood
