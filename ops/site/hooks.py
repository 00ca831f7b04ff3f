"""What MkDocs has to be told of Markdown that is written for readers of the repository, too.

Pages of the root (README, changelog, contributing, security policy) become pages of the site; links to files that the
site does not have become plain text; anchors are those that GitHub makes, which the links are written for.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
OF_THE_ROOT = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
STYLE = "assets/site.css"
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LIST_AFTER_TEXT = re.compile(r"^((?!\s*(?:[-*]|\d+\.) |#|\|| ).+)\n(?=(?:[-*]|\d+\.) )", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make anchors as GitHub does."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and the style sheet."""
    files.append(File.generated(config, STYLE, content=(ROOT / "ops" / "site" / "site.css").read_text("utf-8")))
    for source, target in OF_THE_ROOT.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Adapt a page, but nothing in its blocks of code."""
    parts = _FENCE.split(markdown)
    for number in range(0, len(parts), 2):
        parts[number] = _LIST_AFTER_TEXT.sub(r"\1\n\n", _adapted(parts[number], page.file.src_uri))
    return "".join(parts)


def slug(text: str, separator: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"[^\w -]", "", text.lower()).replace(" ", separator)


def _adapted(text: str, page: str) -> str:
    folder = "" if page in OF_THE_ROOT.values() else posixpath.join("docs", posixpath.dirname(page))

    def adapt(match: re.Match[str]) -> str:
        words, link = match.groups()
        file, _, anchor = link.partition("#")
        if "://" in link or not file:
            return match[0]
        there = posixpath.normpath(posixpath.join(folder, file))
        target = OF_THE_ROOT.get(there, there.removeprefix("docs/"))
        if target == there:
            # A file that the site does not have; one that is nowhere is left for MkDocs to complain of.
            return words if (ROOT / there).exists() else match[0]
        target = posixpath.relpath(target, posixpath.dirname(page) or ".")
        return f"[{words}]({target}{'#' + anchor if anchor else ''})"

    return _LINK.sub(adapt, text)
