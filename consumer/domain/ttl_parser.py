"""Reading a TTL rule's expression as ClickHouse writes it.

Only what is certain is understood; of anything else nobody can say when it deletes a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from consumer.domain.ttl_expression import CalendarUnit, Cut, Shift, TtlExpression

_TOKEN = re.compile(r"\s*(?:(\d+)\b|([A-Za-z_]\w*)|`([^`\\]+)`|'([^'\\]*)'|([-+(),]))")
_CUTS = {
    "toDateTime": (CalendarUnit.SECOND, False),
    "toDate": (CalendarUnit.DAY, True),
    "toDate32": (CalendarUnit.DAY, True),
    "toStartOfMinute": (CalendarUnit.MINUTE, False),
    "toStartOfHour": (CalendarUnit.HOUR, False),
    "toStartOfDay": (CalendarUnit.DAY, False),
    "toStartOfMonth": (CalendarUnit.MONTH, True),
    "toStartOfQuarter": (CalendarUnit.QUARTER, True),
    "toStartOfYear": (CalendarUnit.YEAR, True),
}
_INTERVALS = {f"toInterval{unit.capitalize()}": unit for unit in CalendarUnit}
_ADDITIONS = {
    f"{verb}{unit.capitalize()}s": (unit, sign)
    for verb, sign in (("add", 1), ("subtract", -1))
    for unit in CalendarUnit
}
_OPERATORS = {"plus": 1, "minus": -1}
_Token = tuple[str, str]


def parse_ttl(text: str) -> TtlExpression | None:
    """Read an expression as ``system.tables`` writes it; ``None`` where it is not understood."""
    tokens = list(_tokens(text))
    if not tokens or tokens[-1][0] == "?":
        return None
    reader = _Reader(tokens)
    try:
        found = reader.sum()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, TtlExpression) and reader.ended else None


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            yield "?", text[position:]
            return
        number, word, quoted, string, sign = match.groups()
        if number is not None:
            yield "number", number
        elif word is not None or quoted is not None:
            yield ("word", word) if word is not None else ("column", quoted)
        elif string is not None:
            yield "text", string
        else:
            yield "sign", sign
        position = match.end()


_Operand = TtlExpression | Shift | int | str


class _Reader:
    """Recursive descent over the tokens of one expression; raises ValueError at the first that it does not know."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._position = 0

    @property
    def ended(self) -> bool:
        """Whether every token was read."""
        return self._position == len(self._tokens)

    def sum(self) -> _Operand:
        """Read operands joined by + and -."""
        left = self._operand()
        while self._at("+") or self._at("-"):
            sign = 1 if self._take()[1] == "+" else -1
            left = _added(left, self._operand(), sign)
        return left

    def _operand(self) -> _Operand:
        match self._take():
            case "number", text:
                return int(text)
            case "text", text:
                return text
            case "column", text:
                return TtlExpression(column=text, steps=())
            case "word", text:
                return self._named(text)
            case "sign", "(":
                inner = self.sum()
                self._expect(")")
                return inner
            case "sign", "-":
                return _negated(self._operand())
            case _, text:
                raise ValueError(text)

    def _named(self, name: str) -> _Operand:
        if name.upper() == "INTERVAL":
            return self._interval()
        return self._call(name) if self._at("(") else TtlExpression(column=name, steps=())

    def _interval(self) -> Shift:
        (kind, count), (_, unit) = self._take(), self._take()
        if kind not in {"number", "text"}:
            raise ValueError(count)
        return Shift(unit=CalendarUnit(unit.lower()), count=int(count))

    def _call(self, name: str) -> _Operand:
        self._expect("(")
        arguments = [self.sum()]
        while self._at(","):
            self._take()
            arguments.append(self.sum())
        self._expect(")")
        match arguments:
            case [int(count)] if name in _INTERVALS:
                return Shift(unit=_INTERVALS[name], count=count)
            case [left, right] if name in _OPERATORS:
                return _added(left, right, _OPERATORS[name])
            case [TtlExpression() as time_, int(count)] if name in _ADDITIONS:
                unit, sign = _ADDITIONS[name]
                return _added(time_, Shift(unit=unit, count=count), sign)
            case [TtlExpression() as time_, *zone] if name in _CUTS and len(zone) <= 1:
                (unit, as_date), zone_name = _CUTS[name], zone[0] if zone else None
                if zone_name is not None and not isinstance(zone_name, str):
                    raise ValueError(name)
                step = Cut(unit=unit, zone=zone_name, as_date=as_date)
                return TtlExpression(column=time_.column, steps=(*time_.steps, step))
            case _:
                raise ValueError(name)

    def _at(self, sign: str) -> bool:
        return not self.ended and self._tokens[self._position] == ("sign", sign)

    def _take(self) -> _Token:
        if self.ended:
            raise ValueError("it ends too early")
        self._position += 1
        return self._tokens[self._position - 1]

    def _expect(self, sign: str) -> None:
        if self._take() != ("sign", sign):
            raise ValueError(sign)


def _negated(operand: _Operand) -> _Operand:
    if isinstance(operand, Shift):
        return Shift(unit=operand.unit, count=-operand.count)
    if isinstance(operand, int):
        return -operand
    raise ValueError("only intervals and numbers have a sign")


def _added(left: _Operand, right: _Operand, sign: int) -> TtlExpression:
    if isinstance(left, Shift) and isinstance(right, TtlExpression) and sign > 0:
        left, right = right, left
    if not isinstance(left, TtlExpression) or not isinstance(right, Shift):
        raise ValueError("neither is an interval")  # noqa: TRY004 - read as "not understood"
    step = Shift(unit=right.unit, count=right.count * sign)
    return TtlExpression(column=left.column, steps=(*left.steps, step))
