"""What docs/api/openapi.yaml cannot say, told to Schemathesis: what the seeded catalogue sells, and which places have which postal codes.

Run by `cargo xtask schemathesis` and by its step of `cargo xtask test`. A value that the description allows and the shop does not have (a
SKU that is not sold, a currency that it is not sold in, a postal code of another country) is refused, and rightly. So the description is
narrowed to what there is, before anything is made of it, and the check that no valid request is refused stays on for all that is left.
Nothing here may widen the description, or take an answer out of it.
"""

import atexit
import json
import os
import secrets
import string
from collections import Counter
from pathlib import Path

import schemathesis
from schemathesis.generation import GenerationMode

SEED = Path(__file__).parents[2] / "local" / "seed"
CURRENCY = "EUR"
# So many units have to be there that no run of this sells them out.
ENOUGH = 10_000
# The payment provider's method that it authorizes. Others are taken too, and decided later, by mail to nobody.
PAYMENT_METHOD = "pm_card_visa"
# Postal codes that there are.
PLACES = [("10115", "DE"), ("75001", "FR"), ("SW1Y 4JH", "GB"), ("10001", "US"), ("100-0001", "JP"), ("1012 AB", "NL")]


def sold() -> list[str]:
    """The SKUs of the catalogue in one currency, of which there are plenty."""
    catalogue = json.loads((SEED / "catalogue.json").read_text())
    stock = {row["sku"]: row["available"] for row in json.loads((SEED / "stock.json").read_text())}
    return [row["sku"] for row in catalogue if row["currency"] == CURRENCY and stock[row["sku"]] >= ENOUGH]


@schemathesis.hook
def before_load_schema(context, raw_schema):
    order = raw_schema["components"]["schemas"]["OrderRequest"]["properties"]
    skus = sold()
    order["currency"] = {"const": CURRENCY}
    order["lines"]["items"]["properties"]["sku"] = {"enum": skus}
    order["lines"]["maxItems"] = len(skus)
    order["payment_method"] = {"const": PAYMENT_METHOD}


@schemathesis.hook
def before_call(context, case, kwargs):
    """A key that stands for no other order, each SKU once, and a postal code of its country, where the case is meant to be right: no schema
    can say any of them."""
    body = case.body
    is_order = case.operation.label == "POST /orders" and isinstance(body, dict)
    if not is_order or not is_right(case):
        return
    for name in [name for name in case.headers or {} if name.lower() == "idempotency-key"]:
        case.headers[name] = fresh(case.headers[name])
    lines, address = body.get("lines"), body.get("shipping_address")
    if isinstance(lines, list):
        body["lines"] = list({line["sku"]: line for line in lines}.values())
    if isinstance(address, dict):
        # Which one follows from the rest, so that a run can be repeated.
        place = PLACES[len(json.dumps(body)) % len(PLACES)]
        address["postal_code"], address["country"] = place
        # All of these have towns.
        if not any(character.isalpha() for character in address.get("city") or ""):
            address["city"] = "Sample Town"


def fresh(key: str) -> str:
    """Another key of the same spelling: quotes, upper and lower case, version and variant stay."""
    start = 1 if key.startswith('"') else 0
    kept = [start + place for place in (14, 19)]

    def other(place: int, old: str) -> str:
        if place in kept or old not in string.hexdigits:
            return old
        new = secrets.choice("0123456789abcdef")
        return new.upper() if old.isupper() else new

    return "".join(other(place, old) for place, old in enumerate(key))


def is_right(case) -> bool:
    parts = case.meta.components if case.meta else {}
    return all(part.mode == GenerationMode.POSITIVE for part in parts.values())


ANSWERS = Counter()


@schemathesis.hook
def after_call(context, case, response):
    ANSWERS[case.operation.label, response.status_code] += 1


@atexit.register
def write_answers():
    """How often each operation was answered with each status, for the command to read."""
    path = os.environ.get("ANSWERS")
    if path:
        counts = {}
        for (operation, status), count in ANSWERS.items():
            counts.setdefault(operation, {})[str(status)] = count
        Path(path).write_text(json.dumps(counts, sort_keys=True))
