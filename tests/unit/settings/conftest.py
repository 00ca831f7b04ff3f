"""Configuration files of a test's own, with no variable of the surroundings in the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.domain.errors import ConfigurationError
from consumer.settings.load import load
from consumer.settings.model import Configuration

Load = Callable[[str], Configuration]
Refused = Callable[[str], str]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("ICEHAUL_"):
            monkeypatch.delenv(name)


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Load a configuration file of this content."""

    def write_and_load(text: str) -> Configuration:
        path = tmp_path / "icehaul.yaml"
        path.write_text(text, encoding="utf-8")
        return load(path)

    return write_and_load


@pytest.fixture
def refused(load_text: Load) -> Refused:
    """Load a wrong configuration file, and return the error's whole text."""

    def load_and_fail(text: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            load_text(text)
        assert caught.value.__cause__ is None  # causes quote values
        return str(caught.value)

    return load_and_fail
