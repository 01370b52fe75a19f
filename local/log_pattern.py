"""CloudWatch Logs' filter patterns over the fields of JSON lines, such as `{ $.outcome = "retry" && $.attempt >= 10 }`.

`engine.py` gives them to FilterLogEvents, where the engine takes such a pattern for "every line". A pattern is read as AWS
documents it: `=` and `!=` with a text, a number or a `*` at either end of a text, `<` `>` `<=` `>=` with a number, IS NULL,
IS TRUE, IS FALSE, NOT EXISTS, `&&` before `||`, parentheses. It refuses what is not of that form, and `%regular expressions%`
too, which AWS takes: better than a local run that finds something else.
"""

import json
import operator
import re

# CloudWatch Logs' own limit.
CHARACTERS_MAX = 1024

TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<selector>\$(?:\.[\w-]+|\[\d+\])+)|"
    r'"(?P<quoted>(?:[^"\\]|\\.)*)"|'
    r"(?P<mark>&&|\|\||[!<>]=|[=<>(){}])|"
    r"(?P<word>[\w.*+-]+)"
    r")\s*",
    re.ASCII,
)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
ORDERS = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
STATES = {"NULL": None, "TRUE": True, "FALSE": False}
MISSING = object()


def compiled(pattern: str):
    """A function that says of a line whether it matches. Raises ValueError where AWS refuses the pattern."""
    matches = Pattern(pattern).read()

    def of_line(line: str) -> bool:
        try:
            fields = json.loads(line)
        except ValueError:
            return False
        return isinstance(fields, dict) and matches(fields)

    return of_line


class Pattern:
    """Reads a pattern from left to right; each method reads one form of the grammar and returns a test of a line's fields."""

    def __init__(self, pattern: str):
        self.tokens, at = [], 0
        while at < len(pattern):
            token = TOKEN.match(pattern, at)
            if token is None:
                raise ValueError(f"{pattern[at]!r} at {at}")
            self.tokens.append((token.lastgroup, token[token.lastgroup]))
            at = token.end()

    def read(self):
        self.take("mark", "{")
        matches = self.any_of()
        self.take("mark", "}")
        if self.tokens:
            raise ValueError("something after the last }")
        return matches

    def any_of(self):
        tests = [self.all_of()]
        while self.comes("||"):
            tests.append(self.all_of())
        return lambda fields: any(test(fields) for test in tests)

    def all_of(self):
        tests = [self.one()]
        while self.comes("&&"):
            tests.append(self.one())
        return lambda fields: all(test(fields) for test in tests)

    def one(self):
        if self.comes("("):
            test = self.any_of()
            self.take("mark", ")")
            return test
        path = re.findall(r"[\w-]+", self.take("selector"), re.ASCII)
        test = self.test()
        return lambda fields: test(value_at(fields, path))

    def test(self):
        kind, text = self.tokens.pop(0) if self.tokens else (None, None)
        if (kind, text) == ("word", "NOT"):
            self.take("word", "EXISTS")
            return lambda value: value is MISSING
        if (kind, text) == ("word", "IS"):
            state = STATES.get(self.take("word"), MISSING)
            if state is MISSING:
                raise ValueError("IS takes NULL, TRUE or FALSE")
            return lambda value: value is state
        if kind != "mark" or text not in {"=", "!=", *ORDERS}:
            raise ValueError(f"{text!r} instead of a comparison")
        return self.comparison(text)

    def comparison(self, sign: str):
        kind, text = self.tokens.pop(0) if self.tokens else (None, None)
        number = float(text) if kind == "word" and NUMBER.fullmatch(text) else None
        if sign in ORDERS:
            if number is None:
                raise ValueError(f"{sign} takes a number")
            return lambda value: is_number(value) and ORDERS[sign](value, number)
        if kind not in ("word", "quoted"):
            raise ValueError(f"{sign} takes a text or a number")
        if kind == "quoted":
            text = re.sub(r"\\(.)", r"\1", text)
        equals = lambda value: value == number if number is not None and is_number(value) else is_like(str(value), text)
        # What is neither a text nor a number is not compared: AWS lets it match neither = nor !=.
        return lambda value: (isinstance(value, str) or is_number(value)) and equals(value) == (sign == "=")

    def comes(self, mark: str) -> bool:
        found = self.tokens[:1] == [("mark", mark)]
        del self.tokens[:found]
        return found

    def take(self, kind: str, text: str | None = None) -> str:
        found = self.tokens.pop(0) if self.tokens else (None, None)
        if found[0] != kind or text not in (None, found[1]):
            raise ValueError(f"{found[1]!r} instead of {text or kind}")
        return found[1]


def value_at(fields: dict, path: list):
    value = fields
    for name in path:
        if isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            return MISSING
    return value


def is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_like(value: str, text: str) -> bool:
    """A star stands for anything at the ends of a text, and for itself within it."""
    if len(text) > 1 and text[0] == text[-1] == "*":
        return text[1:-1] in value
    if text.startswith("*"):
        return value.endswith(text[1:])
    return value.startswith(text[:-1]) if text.endswith("*") else value == text
