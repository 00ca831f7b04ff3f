"""Parser of ClickHouse type names, as ``system.columns`` writes them, into a small syntax tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?\d+(?:\.\d+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<quoted>`(?:[^`\\]|\\.|``)*` | "(?:[^"\\]|\\.|"")*")
      | (?P<string>'(?:[^'\\]|\\.|'')*')
      | (?P<sign>[(),=.])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})|\\(.)|([`\"'])\3", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "0": "\0", "a": "\a", "v": "\v"}


class TypeSyntaxError(ValueError):
    """A type name that this parser does not understand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumValue:
    """One value of an ``Enum8`` or ``Enum16``."""

    name: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One named element of a ``Tuple`` or ``Nested``."""

    name: str
    type: ClickHouseType


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of ``JSON`` or ``Dynamic`` that has a name: a bound, or a path that is skipped."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ClickHouseType:
    """A type: its name, and what stands in its parentheses (types, elements, enum values, parameters, literals)."""

    name: str
    arguments: tuple[ClickHouseType | Element | EnumValue | Parameter | int | float | str, ...] = ()

    def types(self) -> tuple[ClickHouseType, ...]:
        """Return the arguments if all are unnamed types.

        Raises:
            TypeSyntaxError: if one is not.
        """
        types = tuple(argument for argument in self.arguments if isinstance(argument, ClickHouseType))
        if len(types) != len(self.arguments):
            raise TypeSyntaxError(f"{self.name} has arguments that are no types: {self.arguments!r}")
        return types


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def _unescape(quoted: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code, character, doubled = match.groups()
        if code:
            return chr(int(code, 16))
        return doubled or _ESCAPED.get(character, character)

    return _ESCAPE.sub(replace, quoted[1:-1])


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise TypeSyntaxError(f"{text!r} has an unexpected character at position {position}")
        yield _Token(match.lastgroup, match.group(match.lastgroup))
        position = match.end()
    yield _Token("end", "")


class _Parser:
    """Recursive descent over the tokens of one type name."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._position = 0

    def parse(self) -> ClickHouseType:
        parsed = self._type()
        self._expect("end", "")
        return parsed

    @property
    def _token(self) -> _Token:
        return self._tokens[self._position]

    def _next(self) -> _Token:
        token = self._token
        self._position += 1
        return token

    def _accept(self, sign: str) -> bool:
        if self._token == _Token("sign", sign):
            self._position += 1
            return True
        return False

    def _expect(self, kind: str, text: str | None = None) -> _Token:
        token = self._token
        if token.kind != kind or (text is not None and token.text != text):
            raise TypeSyntaxError(f"{self._text!r}: found {token.text or 'the end'!r}, expected {text or kind!r}")
        self._position += 1
        return token

    def _type(self) -> ClickHouseType:
        return self._type_named(self._expect("word").text)

    def _type_named(self, name: str) -> ClickHouseType:
        if not self._accept("("):
            return ClickHouseType(name)
        if self._accept(")"):
            return ClickHouseType(name)
        argument = self._json_argument if name == "JSON" else self._argument
        arguments = [argument()]
        while self._accept(","):
            arguments.append(argument())
        self._expect("sign", ")")
        return ClickHouseType(name, tuple(arguments))

    def _json_argument(self) -> Element | Parameter:
        path = self._path()
        if self._accept("="):
            return Parameter(name=path, value=self._expect("number").text)
        if path != "SKIP":
            return Element(name=path, type=self._type())
        skipped = self._path()
        if skipped == "REGEXP":
            return Parameter(name="SKIP REGEXP", value=_unescape(self._expect("string").text))
        return Parameter(name=path, value=skipped)

    def _path(self) -> str:
        steps = [self._step()]
        while self._accept("."):
            steps.append(self._step())
        return ".".join(steps)

    def _step(self) -> str:
        return _unescape(self._next().text) if self._token.kind == "quoted" else self._expect("word").text

    def _argument(self) -> ClickHouseType | Element | EnumValue | Parameter | int | float | str:
        token = self._token
        match token.kind:
            case "number":
                self._next()
                return float(token.text) if "." in token.text else int(token.text)
            case "string":
                self._next()
                text = _unescape(token.text)
                if self._accept("="):
                    return EnumValue(name=text, number=int(self._expect("number").text))
                return text
            case "quoted":
                self._next()
                return Element(name=_unescape(token.text), type=self._type())
            case _:
                return self._worded()

    def _worded(self) -> ClickHouseType | Element | Parameter:
        word = self._expect("word").text
        if self._token.kind == "word":
            return Element(name=word, type=self._type())
        if self._accept("="):
            return Parameter(name=word, value=self._expect("number").text)
        return self._type_named(word)


def parse_type(text: str) -> ClickHouseType:
    """Parse a type name such as ``Map(LowCardinality(String), Array(Nullable(DateTime64(3, 'UTC'))))``.

    Raises:
        TypeSyntaxError: if it is no type name, or has parameters that no supported type has.
    """
    return _Parser(text).parse()
