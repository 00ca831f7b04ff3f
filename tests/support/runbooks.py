"""Runbooks, read and followed: what a page lets a person type is run, and what it shows is compared with the answer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ("Symptom", "Impact", "Diagnosis", "Repair", "Verification", "Prevention")

_PIECE = re.compile(
    r"^(?P<marks>#+) (?P<heading>[^\n]+)$|^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_BORDERS = re.compile(r"[━─┃│┏┓┡┩└┘┴┳╇┼├┤]+")
_ANY_LINES = "\x00"
_CODE = re.compile(r"# exit code (\d+)$", re.MULTILINE)
_PART = r"(?:\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d(?:\.\d+)?)?|\d+[dhms] \d+[hms]|[\d.,]+ (?:[KMG]i)?[Bs]|\S+?)"
"""What ``…`` stands for: an instant, a length of time, a size, or (a part of) one word."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code of a page: its number, the heading above it, its language, its text, and where that begins."""

    number: int
    heading: str
    language: str
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Said:
    """What a program has said, and the exit code that it ended with."""

    out: str
    code: int = 0


Program = Callable[[Sequence[str]], Said]
"""Runs a program with these arguments."""


class RunbookError(AssertionError):
    """A page lies: a command ends, or says, something else than is shown."""


def blocks(text: str) -> list[Block]:
    """Return the blocks of code of a page, in order, each under the nearest heading."""
    heading = ""
    found: list[Block] = []
    for piece in _PIECE.finditer(text):
        if piece["heading"] is not None:
            heading = piece["heading"]
        else:
            found.append(Block(len(found), heading, piece["language"], piece["text"], piece.start("text")))
    return found


def commands(block: Block) -> list[tuple[list[str], int]]:
    """Return the commands of a block, each with the exit code that a comment ``# exit code N`` promises, or 0."""
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.strip():
            code = _CODE.search(line)
            found.append((shlex.split(line, comments=True), int(code[1]) if code else 0))
    return found


def words(text: str) -> str:
    """Return a text without the borders of tables, however its lines are broken."""
    return " ".join(_BORDERS.sub(" ", text).split())


def agrees(shown: str, said: str) -> bool:
    """Tell whether a page shows what was said.

    ``…`` stands for what differs from run to run, in one line; a line with nothing else stands for lines left out.
    """
    plain = [_BORDERS.sub(" ", line) for line in shown.splitlines()]
    marked = "\n".join(_ANY_LINES if line.strip() == "…" else line for line in plain)
    pattern = re.escape(words(marked)).replace("…", _PART)
    pattern = pattern.replace(rf"\ {_ANY_LINES}", "(?: .*?)?").replace(rf"{_ANY_LINES}\ ", "(?:.*? )?")
    return re.fullmatch(pattern, words(said)) is not None


@dataclass
class Runbook:
    """A page that is followed step by step.

    ``names`` are the names of things here, by those that the page has for them; ``programs`` run what it lets a person
    type; ``configure`` takes a configuration that it shows.
    """

    page: Path
    names: Mapping[str, str]
    programs: Mapping[str, Program]
    configure: Callable[[str], None]
    record: Callable[[Path, Block, str], None] | None = None
    followed: set[int] = field(default_factory=set)

    def follow(self, heading: str) -> str:
        """Do what stands under a heading, up to the next one, and return all that was said.

        Raises:
            RunbookError: if a command ends with another exit code than the page promises (0 unless it says so), or says
                something else than it shows.
        """
        found = [one for one in self._blocks() if one.heading == heading]
        if not found:
            raise RunbookError(f"{self.page.name} has nothing to do under {heading!r}")
        everything, said = "", ""
        for block in found:
            self.followed.add(block.number)
            if block.language == "bash":
                said = "".join(self._run(*command) for command in commands(block))
                everything += said
            elif block.language == "yaml":
                self.configure(block.text)
            elif block.language == "text":
                self._compare(block, said)
            else:
                raise RunbookError(f"{self.page.name}: nobody knows what to do with a block of {block.language!r}")
        return everything

    def left(self) -> list[Block]:
        """Return the blocks that nobody has followed."""
        return [block for block in self._blocks() if block.number not in self.followed]

    def _blocks(self) -> list[Block]:
        return blocks(self.page.read_text(encoding="utf-8"))

    def _run(self, line: Sequence[str], code: int) -> str:
        said = self.programs[line[0]]([self._ours(word) for word in line[1:]])
        if said.code != code:
            raise RunbookError(f"{self.page.name}: {shlex.join(line)} ended with {said.code}, not {code}:\n{said.out}")
        return self._theirs(said.out)

    def _compare(self, block: Block, said: str) -> None:
        if agrees(block.text, said):
            return
        if self.record is not None:
            self.record(self.page, block, said)
        else:
            raise RunbookError(f"{self.page.name} shows under {block.heading!r}:\n{block.text}\nsaid was:\n{said}")

    def _ours(self, word: str) -> str:
        for theirs, ours in sorted(self.names.items(), key=lambda pair: -len(pair[0])):
            # A name without a dot is one of many words that mean something else elsewhere.
            word = word.replace(theirs, ours) if "." in theirs or word == theirs else word
        return word

    def _theirs(self, text: str) -> str:
        for theirs, ours in sorted(self.names.items(), key=lambda pair: -len(pair[1])):
            text = text.replace(ours, theirs)
        return text


@contextmanager
def followed(runbook: Runbook) -> Iterator[Runbook]:
    """Let a test follow a page, which it has to do wholly.

    Raises:
        RunbookError: if the page has a step that was not taken.
    """
    yield runbook
    left = [f"{block.heading}: {block.text[:60]!r}" for block in runbook.left()]
    if left:
        raise RunbookError(f"{runbook.page.name}: nobody has followed {left}")
