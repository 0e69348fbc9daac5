"""Splitting Markdown and plain text into pieces that can be read alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

LONGEST = 90
"""Words of a piece. Only code is ever longer."""

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#*)?[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_ITEM = re.compile(r"[ \t]*([-*+]|\d{1,9}[.)])[ \t]+")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|(?<=[。！？])|\n+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Text under its headings, outermost first."""

    headings: tuple[str, ...]
    text: str


def markdown_pieces(text: str) -> Iterator[Piece]:
    """Pieces of Markdown: never across a heading, a table's header on each part of it, code whole."""
    headings: list[tuple[int, str]] = []
    blocks: list[list[str]] = []
    for block in _blocks(_COMMENT.sub("", text).split("\n")):
        if isinstance(block, _Heading):
            yield from _packed(blocks, headings)
            blocks = []
            headings = [heading for heading in headings if heading[0] < block.level]
            headings.append((block.level, block.text))
        else:
            blocks.append(block)
    yield from _packed(blocks, headings)


def text_pieces(text: str) -> Iterator[Piece]:
    """Pieces of plain text: paragraphs together as long as they are short."""
    paragraphs = [part.strip() for part in re.split(r"\n[ \t]*\n", text)]
    yield from _packed([_parts(part) for part in paragraphs if part], [])


def length(text: str) -> int:
    """Words in a text; of scripts without spaces, two signs count as one."""
    return len(text.split()) + len(_UNSPACED.findall(text)) // 2


@dataclass(frozen=True, slots=True)
class _Heading:
    level: int
    text: str


def _blocks(lines: Sequence[str]) -> Iterator[_Heading | list[str]]:
    """Headings, and blocks as the parts they may be split into."""
    at = 0
    while at < len(lines):
        line = lines[at]
        heading = _HEADING.fullmatch(line)
        fence = _FENCE.match(line)
        if not line.strip():
            at += 1
        elif heading:
            if heading[2]:
                yield _Heading(len(heading[1]), heading[2].strip())
            at += 1
        elif fence:
            end = _fence_end(lines, at, fence[1])
            yield ["\n".join(lines[at:end])]
            at = end
        elif _begins_table(lines, at):
            end = at + 2
            while end < len(lines) and "|" in lines[end]:
                end += 1
            yield _table(lines[at:end])
            at = end
        else:
            end = at + 1
            while end < len(lines) and lines[end].strip() and not _interrupts(lines, end):
                if _UNDERLINE.fullmatch(lines[end]) and end == at + 1:
                    break
                end += 1
            underline = _UNDERLINE.fullmatch(lines[end]) if end == at + 1 and end < len(lines) else None
            if underline and not _ITEM.match(line):
                yield _Heading(1 if underline[1][0] == "=" else 2, line.strip())
                end += 1
            else:
                yield from _paragraph(lines[at:end])
            at = end


def _interrupts(lines: Sequence[str], at: int) -> bool:
    return bool(_HEADING.fullmatch(lines[at]) or _FENCE.match(lines[at]) or _begins_table(lines, at))


def _begins_table(lines: Sequence[str], at: int) -> bool:
    if "|" not in lines[at] or at + 1 == len(lines):
        return False
    return "-" in lines[at + 1] and "|" in lines[at + 1] and _TABLE_RULE.fullmatch(lines[at + 1]) is not None


def _fence_end(lines: Sequence[str], start: int, fence: str) -> int:
    closing = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*")
    return next((at + 1 for at in range(start + 1, len(lines)) if closing.fullmatch(lines[at])), len(lines))


def _table(lines: Sequence[str]) -> list[str]:
    """Groups of rows, each with the header, as long as a piece may be."""
    header = "\n".join(line.strip() for line in lines[:2])
    groups: list[str] = []
    rows: list[str] = []
    for row in (line.strip() for line in lines[2:]):
        if rows and length("\n".join((header, *rows, row)).replace("|", " ")) > LONGEST:
            groups.append("\n".join((header, *rows)))
            rows = []
        rows.append(row)
    return [*groups, "\n".join((header, *rows))]


def _paragraph(lines: Sequence[str]) -> Iterator[list[str]]:
    """A paragraph, or the items of a list; a line of dashes is nothing."""
    items: list[list[str]] = []
    for line in lines:
        if re.fullmatch(r"[ \t]*([-*_])([ \t]*\1){2,}[ \t]*", line):
            continue
        if _ITEM.match(line) or not items:
            items.append([])
        items[-1].append(line)
    if not items:
        return
    if len(items) == 1:
        yield _parts(" ".join(line.strip() for line in items[0]))
    else:
        yield [part for item in items for part in _parts("\n".join(line.rstrip() for line in item))]


def _parts(text: str) -> list[str]:
    """The text, or if it is too long, its sentences; a sentence that is too long is cut between words."""
    if length(text) <= LONGEST:
        return [text]
    parts: list[str] = []
    for sentence in filter(None, (part.strip() for part in _SENTENCE.split(text))):
        if length(sentence) <= LONGEST:
            parts.append(sentence)
        else:
            parts += _cut(sentence)
    return parts


def _cut(sentence: str) -> Iterator[str]:
    words = sentence.split(" ")
    longest = max(length(word) for word in words)
    if longest > LONGEST:  # no spaces to cut at
        yield from (sentence[at : at + LONGEST] for at in range(0, len(sentence), LONGEST))
        return
    for at in range(0, len(words), LONGEST // max(1, longest)):
        yield " ".join(words[at : at + LONGEST // max(1, longest)])


def _packed(blocks: Iterable[Sequence[str]], headings: Sequence[tuple[int, str]]) -> Iterator[Piece]:
    """Put parts together until a piece is full. Blocks stay whole if they fit into one."""
    path = tuple(text for _, text in headings)
    piece, words = "", 0
    for block in blocks:
        separator = "\n\n"
        size = sum(length(part) for part in block)
        if piece and size <= LONGEST < words + size:
            yield Piece(path, piece)
            piece, words = "", 0
        for part in block:
            size = length(part)
            if piece and words + size > LONGEST:
                yield Piece(path, piece)
                piece, words = "", 0
            piece = f"{piece}{separator}{part}" if piece else part
            words += size
            separator = "\n" if "\n" in part or _ITEM.match(part) else " "
    if piece.strip():
        yield Piece(path, piece)
