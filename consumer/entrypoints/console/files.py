"""The page's own files, and the runbooks and how-to pages that it shows; nothing else can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from importlib import resources
from types import MappingProxyType

from consumer.entrypoints.http_messages import Answer

_HOME = "/console/"
_FOLDERS = ("runbooks", "how_to")
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def to_the_page(path: str) -> Answer | None:
    """Return the way from a path that people type to the page; relative, so that a proxy may put a prefix before it."""
    if path not in {"/", "/console"}:
        return None
    return Answer(HTTPStatus.TEMPORARY_REDIRECT, b"", "text/plain", {"Location": "console/"})


def page_file(path: str) -> Answer | None:
    """Return a file of the page, ``None`` if there is none under this path."""
    if not path.startswith(_HOME):
        return None
    name = path.removeprefix(_HOME) or "index.html"
    content = _files().get(name)
    if content is None:
        return None
    return Answer(HTTPStatus.OK, content, f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8")


def documentation(page: str) -> str | None:
    """Return the Markdown of a page of ``docs/runbooks`` or ``docs/how-to``, ``None`` if there is none of this name.

    No name is one in both.
    """
    return _pages().get(page)


@cache
def _files() -> Mapping[str, bytes]:
    there = resources.files(__package__) / "static"
    return MappingProxyType(
        {one.name: one.read_bytes() for one in there.iterdir() if one.name.rpartition(".")[2] in _TYPES}
    )


@cache
def _pages() -> Mapping[str, str]:
    return MappingProxyType(
        {
            one.name.removesuffix(".md"): one.read_text(encoding="utf-8")
            for folder in _FOLDERS
            for one in (resources.files(__package__) / folder).iterdir()
            if one.name.endswith(".md")
        }
    )
