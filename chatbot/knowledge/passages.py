"""Cutting a text into passages: pieces small enough to quote, each knowing the headings it stands under."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from semantic_text_splitter import MarkdownSplitter, TextSplitter

SIZE = 1000  # characters, at most; smaller passages were found less often in every measure (bench/search)

BLOCK = 20_000  # characters cut at once: the splitter's time grows with their square (5 MB in one line: six minutes)

HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(\S.*)$", re.MULTILINE)
FENCE = re.compile(r"^ {0,3}(```|~~~)")
STEP = " › "  # between the headings of a path


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a text. `start` is its first character's place in the text it was cut from."""

    text: str
    headings: tuple[str, ...]
    start: int

    @property
    def heading(self) -> str:
        """The path of headings, as one line: «Workshop prices › Services»."""
        return STEP.join(self.headings)


@dataclass(frozen=True, slots=True)
class _Section:
    headings: tuple[str, ...]
    start: int
    text: str


def cut(text: str, *, is_markdown: bool = True) -> list[Passage]:
    """Passages in reading order. Every word of the text is in one of them, headings in `headings` alone."""
    splitter = _splitter(is_markdown=is_markdown)
    sections = _sections(text) if is_markdown else [_Section((), 0, text)]
    return [
        Passage(piece, section.headings, block.start + offset)
        for section in sections
        for block in _blocks(section)
        for offset, piece in splitter.chunk_indices(block.text)
        if piece.strip()
    ]


def with_context(title: str, heading: str, text: str) -> str:
    """What is searched: title and headings, then the text. A passage often says «it» where its heading says what."""
    path = heading if heading.startswith(title) else STEP.join(part for part in (title, heading) if part)
    return f"{path}\n{text}" if path else text


@cache
def _splitter(*, is_markdown: bool) -> MarkdownSplitter | TextSplitter:
    return MarkdownSplitter(SIZE) if is_markdown else TextSplitter(SIZE)


def first_heading(text: str) -> str:
    """The text's first heading of the first level; '' when it has none."""
    return next((_name(heading[2]) for heading in HEADING.finditer(text) if len(heading[1]) == 1), "")


def _name(heading: str) -> str:
    """A heading without the marks that may close it. No expression: one that also looks for them took minutes on spaces."""
    plain = heading.rstrip()
    bare = plain.rstrip("#")
    return bare.rstrip() if bare != plain and bare[-1:].isspace() else plain


def _blocks(section: _Section) -> Iterator[_Section]:
    """The section in parts of at most BLOCK characters, parted at an empty line, a line's end or a space where there is one."""
    text, start = section.text, 0
    while len(text) - start > BLOCK:
        ends = (text.rfind(mark, start, start + BLOCK) for mark in ("\n\n", "\n", " "))
        end = next((end for end in ends if end > start), start + BLOCK)
        yield _Section(section.headings, section.start + start, text[start:end])
        start = end
    yield _Section(section.headings, section.start + start, text[start:])


def _sections(text: str) -> list[_Section]:
    """The text under each heading. Headings inside code fences are code."""
    sections: list[_Section] = []
    path: list[tuple[int, str]] = []
    start, here, is_code = 0, 0, False
    for line in text.splitlines(keepends=True):
        is_code ^= bool(FENCE.match(line))
        heading = None if is_code else HEADING.match(line.rstrip("\r\n"))
        if heading:
            sections.append(_Section(tuple(name for _, name in path), start, text[start:here]))
            level = len(heading[1])
            path = [(depth, name) for depth, name in path if depth < level] + [(level, _name(heading[2]))]
            start = here + len(line)
        here += len(line)
    sections.append(_Section(tuple(name for _, name in path), start, text[start:]))
    return [section for section in sections if section.text.strip()]
