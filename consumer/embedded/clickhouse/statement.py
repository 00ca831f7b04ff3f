"""What a server must know of a statement before the engine runs it, found by reading its tokens only.

Offsets count bytes: the text is read as Latin-1, where every byte is one character, because the tail of an INSERT
may be binary. The engine stays the only judge of syntax.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_TOKEN = re.compile(
    r"""
      (?P<blank>\s+ | --[^\n]* | \#[\ !][^\n]* | /\*.*?(?:\*/|\Z))
    | (?P<text>'(?:[^'\\]|\\.|'')*')
    | (?P<quoted>"(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*`)
    | (?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>[0-9][A-Za-z0-9_.]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")
_DATA_START = re.compile(rb"[ \t\f]*(?:\r?\n)?")


class Kind(StrEnum):
    """How a statement is executed."""

    EMPTY = "empty"
    ROWS = "rows"
    """SELECT and its relatives: any number of result rows."""
    ANSWER = "answer"
    """SHOW, DESCRIBE, EXPLAIN, KILL …: a short result."""
    INSERT = "insert"
    SESSION = "session"
    """SET and USE: they change the session, nothing else."""
    OTHER = "other"
    """DDL and everything else: no result."""


_KIND_BY_KEYWORD = {
    **dict.fromkeys(("SELECT", "WITH", "FROM", "("), Kind.ROWS),
    **dict.fromkeys(
        ("SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK", "KILL", "BACKUP", "RESTORE", "VALUES"), Kind.ANSWER
    ),
    "INSERT": Kind.INSERT,
    **dict.fromkeys(("SET", "USE"), Kind.SESSION),
}
_READ_ONLY_KEYWORDS = frozenset(
    {"SELECT", "WITH", "FROM", "(", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "VALUES", "SET", "USE"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One significant token: its text, where it starts and ends, and how many brackets are open around it."""

    text: str
    start: int
    end: int
    depth: int
    is_word: bool

    @property
    def upper(self) -> str:
        """The text in capitals if it is a word; keywords are compared in this form."""
        return self.text.upper() if self.is_word else self.text


def tokens(text: bytes) -> Iterator[Token]:
    """The significant tokens of ``text``, read lazily: binary data after an INSERT's head is never looked at."""
    depth = 0
    for match in _TOKEN.finditer(text.decode("latin-1")):
        if match.lastgroup == "blank":
            continue
        found = match.group()
        depth -= found in _CLOSING
        yield Token(text=found, start=match.start(), end=match.end(), depth=depth, is_word=match.lastgroup == "word")
        depth += found in _OPENING


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement other than an INSERT that brings data along."""

    keyword: str
    kind: Kind
    end: int
    """Where the statement ends: before a final semicolon and what follows it."""
    format: str | None = None
    format_start: int | None = None
    into_outfile: bool = False
    from_infile: bool = False
    multiple: bool = False

    @property
    def read_only(self) -> bool:
        """Whether it leaves data and schema alone."""
        return self.keyword in _READ_ONLY_KEYWORDS and self.kind is not Kind.INSERT

    @property
    def has_result(self) -> bool:
        """Whether its answer has columns, be it of zero rows."""
        return self.kind in {Kind.ROWS, Kind.ANSWER}


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertWithData:
    """An INSERT whose rows follow its head in the body."""

    clause_start: int
    """Where ``FROM INFILE`` belongs: before SETTINGS, FORMAT or VALUES."""
    head_end: int
    """End of the head without FORMAT and VALUES."""
    format: str
    data_start: int
    inline_values: bool
    input_function: tuple[int, int, int] | None = None
    """Of ``INSERT … SELECT … FROM input(structure)``: start of ``input``, start and end of its arguments."""


def read(text: bytes) -> Statement | InsertWithData:
    """Read one statement.

    For an INSERT, ``text`` has to hold the whole head; the data may be cut off anywhere.
    """
    stream = tokens(text)
    first = next(stream, None)
    while first is not None and first.text == ";":
        first = next(stream, None)
    if first is None:
        return Statement(keyword="", kind=Kind.EMPTY, end=0)
    if first.upper == "INSERT":
        return _InsertReader(text, stream).read()
    return _read_plain(first, [first, *stream])


def _read_plain(first: Token, found: list[Token]) -> Statement:
    end_at = next((i for i, token in enumerate(found) if token.text == ";" and token.depth == 0), len(found))
    multiple = any(token.text != ";" for token in found[end_at:])
    body = found[:end_at]
    format_at = _find_format(body)
    words = [(a.upper, b.upper) for a, b in itertools.pairwise(body) if a.is_word and b.is_word]
    kind = _KIND_BY_KEYWORD.get(first.upper, Kind.OTHER)
    if first.upper == "WITH" and any(token.depth == 0 and token.upper == "INSERT" for token in body):
        kind = Kind.INSERT
    return Statement(
        keyword=first.upper,
        kind=kind,
        end=body[-1].end,
        format=None if format_at is None else body[format_at + 1].text,
        format_start=None if format_at is None else body[format_at].start,
        into_outfile=("INTO", "OUTFILE") in words,
        from_infile=("FROM", "INFILE") in words,
        multiple=multiple,
    )


def _find_format(body: list[Token]) -> int | None:
    """Index of the FORMAT clause's keyword: ``FORMAT name`` at the end, or before a last SETTINGS clause."""
    for index in range(len(body) - 2, 0, -1):
        token, name = body[index], body[index + 1]
        if token.depth or token.upper != "FORMAT" or not name.is_word or body[index - 1].text == ".":
            continue
        follower = body[index + 2] if index + 2 < len(body) else None
        if follower is None or follower.upper == "SETTINGS":
            return index
    return None


class _InsertReader:
    """Walks through an INSERT until its data begins or its text ends."""

    def __init__(self, text: bytes, stream: Iterator[Token]) -> None:
        self._text = text
        self._stream = stream
        self._seen: list[Token] = []
        self._settings: Token | None = None
        self._selects = False
        self._source: tuple[int, int, int] | None = None

    def read(self) -> Statement | InsertWithData:
        for token in self._stream:
            previous = self._seen[-1] if self._seen else None
            self._seen.append(token)
            if token.text == ")":
                self._source = _input_call(self._seen) or self._source
            # What follows one of these is a name, whatever it looks like.
            named = previous is None or previous.text == "." or previous.upper in {"INTO", "TABLE", "FUNCTION"}
            if token.is_word and not named:
                found = self._keyword(token)
                if found is not None:
                    return found
        end = next((t.start for t in self._seen if t.text == ";" and t.depth == 0), len(self._text))
        multiple = any(t.text != ";" and t.start > end for t in self._seen)
        return Statement(keyword="INSERT", kind=Kind.INSERT, end=end, multiple=multiple)

    def _keyword(self, token: Token) -> Statement | InsertWithData | None:
        if token.upper in {"SELECT", "WITH"}:
            self._selects = True
        if token.depth:
            return None
        if token.upper == "FORMAT" and (self._source is not None or not self._selects):
            name = next(self._stream, None)
            return None if name is None or not name.is_word else self._with_data(token, name.text, name.end)
        if self._selects:
            return None
        if token.upper == "VALUES":
            return self._with_data(token, "Values", token.end)
        if token.upper == "SETTINGS":
            self._settings = token
        if token.upper == "INFILE":
            return Statement(keyword="INSERT", kind=Kind.INSERT, end=len(self._text), from_infile=True)
        return None

    def _with_data(self, clause: Token, format_name: str, head_end: int) -> InsertWithData:
        values = clause.upper == "VALUES"
        gap = None if values else _DATA_START.match(self._text, head_end)
        return InsertWithData(
            clause_start=clause.start if self._settings is None else self._settings.start,
            head_end=clause.start,
            format=format_name,
            data_start=head_end if gap is None else gap.end(),
            inline_values=values,
            input_function=self._source,
        )


def _input_call(seen: list[Token]) -> tuple[int, int, int] | None:
    """The call ``input(…)`` if the last token closes one."""
    last = seen[-1]
    if last.text != ")":
        return None
    opening = next((i for i in range(len(seen) - 2, 0, -1) if seen[i].text == "(" and seen[i].depth == last.depth), 0)
    if opening == 0 or seen[opening - 1].upper != "INPUT":
        return None
    return seen[opening - 1].start, seen[opening].end, last.start
