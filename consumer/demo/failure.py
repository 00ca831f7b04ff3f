"""How the demo fails."""

from __future__ import annotations

from consumer.domain.errors import IcehaulError


class DemoFailure(IcehaulError):  # noqa: N818 - it is not an error of the product
    """The demo did not go as it has to."""

    def __init__(
        self, message: str, *, remedy: str = "look at the logs in var/demo/logs and var/demo/stack/logs"
    ) -> None:
        super().__init__(message, remedy=remedy)
