"""A planted bug: a small change of the code that breaks a guarantee, and the tests that have to notice it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consumer.embedded.component import ComponentName


class StaleBugError(Exception):
    """The code has changed so that a bug can't be planted as it is written: bring the bug up to date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Exact text that stands once in a file, and what stands there instead once the bug is planted."""

    file: str
    before: str
    after: str

    def apply(self, text: str) -> str:
        """Return the file's text with the edit.

        Raises:
            StaleBugError: if the text to replace does not stand there exactly once.
        """
        found = text.count(self.before)
        if found != 1:
            raise StaleBugError(f"{self.file}: found {found} times, expected once:\n{self.before}")
        return text.replace(self.before, self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A bug to be planted.

    Attributes:
        name: what went wrong in the code, in lower case with underscores.
        breaks: one sentence, what happens to rows, events or owners because of it.
        edits: the change; every one of them applies.
        tests: node ids of the tests of which one at least has to fail.
        servers: components of the embedded stack that those tests need running.
    """

    name: str
    breaks: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    servers: tuple[ComponentName, ...] = ()

    def changed(self, root: Path) -> dict[str, str]:
        """Return the texts of the files that the bug changes in a source tree.

        Raises:
            StaleBugError: if an edit does not apply.
        """
        texts: dict[str, str] = {}
        for edit in self.edits:
            text = texts.get(edit.file)
            texts[edit.file] = edit.apply((root / edit.file).read_text("utf-8") if text is None else text)
        return texts

    def plant(self, root: Path) -> None:
        """Change a source tree.

        Raises:
            StaleBugError: if an edit does not apply; then nothing was changed.
        """
        for file, text in self.changed(root).items():
            (root / file).write_text(text, encoding="utf-8")
