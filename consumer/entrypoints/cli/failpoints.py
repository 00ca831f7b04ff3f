"""`icehaul failpoints`: list the places where a test can make a process fail."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.entrypoints.cli.options import OutputOption
from consumer.entrypoints.cli.output import Format, emit
from consumer.entrypoints.cli.records import Column, Records
from consumer.failpoints.acting import MODES, VARIABLE, Mode, refusal
from consumer.failpoints.effect import Point
from consumer.failpoints.effects import POINTS


def failpoints(output: OutputOption = Format.TEXT) -> None:
    """List the failpoints, for tests of crashes: places before and after every side effect, and what may happen there.

    They are off unless the variable ICEHAUL_FAILPOINTS names them: POINT=MODE, several separated by commas;
    POINT=MODE@N acts the N-th time that the process reaches the point, and once only. Points of tasks travel with
    the N-th Spark job.
    """
    emit(output, text=_text(), data=_data())


def _text() -> RenderableType:
    points = Records(
        f"{VARIABLE}=POINT=MODE",
        [Column("component"), Column("point"), Column("when it is reached", sentences=True)],
        head=2,
    )
    for point in POINTS.values():
        points.add(point.effect.component, point.name, point.description)
    modes = Records("modes", [Column("mode"), Column("what it does", sentences=True)])
    for mode, meaning in MODES.items():
        modes.add(mode, meaning)
    without = sum(refusal(point, Mode.APPLY_THEN_RAISE) is not None for point in POINTS.values())
    return Group(
        points,
        modes,
        Text(
            f"{len(POINTS)} points; {Mode.APPLY_THEN_RAISE} exists at {len(POINTS) - without} of them,"
            " the other modes at all"
        ),
    )


def _data() -> dict[str, Any]:
    return {"variable": VARIABLE, "points": [_point(point) for point in POINTS.values()], "modes": dict(MODES)}


def _point(point: Point) -> dict[str, Any]:
    refused = {mode: reason for mode in Mode if (reason := refusal(point, mode)) is not None}
    return {
        "point": point.name,
        "component": point.effect.component,
        "effect": point.effect.name,
        "applied": point.applied,
        "description": point.description,
        "modes": [mode for mode in Mode if mode not in refused],
        "refused": refused,
    }
