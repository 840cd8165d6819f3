"""The commands in the README, CONTRIBUTING.md and docs/."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.compiled import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`((?:python -m|make|kfp) [^`\n]+)`(?!`)")
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*$")


@dataclass(frozen=True)
class Command:
    """A command of a document, split into words. `where` names the document."""

    where: str = field(compare=False)
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {shlex.join(self.words)}"

    def starts_with(self, *words: str) -> bool:
        """Whether these are the command's first words."""
        return self.words[: len(words)] == words


def blocks(path: Path) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a document, each as language and text."""
    yield from _BLOCK.findall(path.read_text(encoding="utf-8"))


def commands() -> list[Command]:
    """The distinct commands in the documents' shell blocks, blocks without a language, and inline code."""
    found: dict[Command, None] = {}
    for path in DOCUMENTS:
        lines = [line for language, text in blocks(path) if language in ("", "bash", "sh", "console") for line in _lines(text)]
        for line in [*lines, *_INLINE.findall(path.read_text(encoding="utf-8"))]:
            if words := _words(line):
                found[Command(str(path.relative_to(ROOT)), words)] = None
    return list(found)


def _lines(text: str) -> list[str]:
    return text.replace("\\\n", " ").splitlines()


def _words(line: str) -> tuple[str, ...]:
    """The words of a command without prompt, comment, redirections and variable assignments; empty for any other line."""
    try:
        words = shlex.split(line.removeprefix("$ "), comments=True)
    except ValueError:  # output with an unpaired quotation mark
        return ()
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    for stop in (">", ">>", "|", "&&", ";", "&"):
        words = words[: words.index(stop)] if stop in words else words
    if not words or words[0].removeprefix(".venv/bin/") not in ("python", "make", "kfp"):
        return ()
    return (words[0].removeprefix(".venv/bin/"), *words[1:])
