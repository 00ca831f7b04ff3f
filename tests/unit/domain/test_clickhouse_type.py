from __future__ import annotations

import pytest

from consumer.domain.clickhouse_type import ClickHouseType, Element, EnumValue, Parameter, TypeSyntaxError, parse_type

STRING = ClickHouseType("String")
UINT8 = ClickHouseType("UInt8")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("String", STRING),
        ("Tuple()", ClickHouseType("Tuple")),
        ("Decimal(38, 10)", ClickHouseType("Decimal", (38, 10))),
        ("DateTime64(3, 'Asia/Tokyo')", ClickHouseType("DateTime64", (3, "Asia/Tokyo"))),
        (
            "Map(LowCardinality(String), Array(Nullable(UInt8)))",
            ClickHouseType(
                "Map",
                (
                    ClickHouseType("LowCardinality", (STRING,)),
                    ClickHouseType("Array", (ClickHouseType("Nullable", (UINT8,)),)),
                ),
            ),
        ),
        (
            'Tuple(a UInt8, `b c` String, "d" Tuple(UInt8))',
            ClickHouseType(
                "Tuple",
                (
                    Element(name="a", type=UINT8),
                    Element(name="b c", type=STRING),
                    Element(name="d", type=ClickHouseType("Tuple", (UINT8,))),
                ),
            ),
        ),
        ("Tuple(\n    a UInt8,\n    b String)", parse_type("Tuple(a UInt8, b String)")),
        (
            r"Enum8('a' = 1, 'it\'s' = -2, ', ) \\ \n' = 3, 'x''y' = 4, '' = 5, '\x41' = 6)",
            ClickHouseType(
                "Enum8",
                (
                    EnumValue(name="a", number=1),
                    EnumValue(name="it's", number=-2),
                    EnumValue(name=", ) \\ \n", number=3),
                    EnumValue(name="x'y", number=4),
                    EnumValue(name="", number=5),
                    EnumValue(name="A", number=6),
                ),
            ),
        ),
        ("Tuple(`a``b\\`c` UInt8)", ClickHouseType("Tuple", (Element(name="a`b`c", type=UINT8),))),
        (
            "AggregateFunction(quantiles(0.5, 0.9), UInt8)",
            ClickHouseType("AggregateFunction", (ClickHouseType("quantiles", (0.5, 0.9)), UINT8)),
        ),
        ("Dynamic(max_types=10)", ClickHouseType("Dynamic", (Parameter(name="max_types", value="10"),))),
        (
            "JSON(max_dynamic_paths=8, a.`b c` UInt8, SKIP d.e, SKIP REGEXP 'f.*')",
            ClickHouseType(
                "JSON",
                (
                    Parameter(name="max_dynamic_paths", value="8"),
                    Element(name="a.b c", type=UINT8),
                    Parameter(name="SKIP", value="d.e"),
                    Parameter(name="SKIP REGEXP", value="f.*"),
                ),
            ),
        ),
    ],
)
def test_a_type_is_parsed(text: str, parsed: ClickHouseType) -> None:
    assert parse_type(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "Array(", "Array(UInt8", "Array UInt8)", "Enum8('a' = )", "Array(UInt8))", "é", "'a"]
)
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(TypeSyntaxError):
        parse_type(text)


def test_types_refuses_arguments_that_are_no_types() -> None:
    with pytest.raises(TypeSyntaxError, match="Decimal"):
        parse_type("Decimal(9, 2)").types()
