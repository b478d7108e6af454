"""HTML to Markdown text: headings, paragraphs, lists, tables and code; scripts, styles and navigation are dropped.

Imports nothing of the project: `bounded.py` runs this file as a program of its own, because a few megabytes of nested
tags can keep the parser busy for half an hour.
"""

import json
import sys
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

DROPPED = (
    "head, script, style, nav, noscript, template, svg, math, iframe, object, form, button, select, dialog, [hidden]"
)
PARTS = (
    "address article aside blockquote body dd details div dl dt fieldset figcaption figure footer header hgroup main ol"
)
TABLES = "p section summary table tbody thead tfoot caption ul hr"
BLOCKS = frozenset([*PARTS.split(" "), *TABLES.split(" ")])
HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
CELLS = ("td", "th")
NOT_FLAT = "table, ul, ol, pre, h1, h2, h3, h4, h5, h6"  # what makes a table a page's layout


def markdown_of(html: str) -> tuple[str, str, str | None]:
    """The text as Markdown, the page's title (or ''), and its canonical address if it names one."""
    tree = LexborHTMLParser(html)
    title, link = tree.css_first("title"), tree.css_first("link[rel=canonical]")
    named = _line(title.text()) if title else "", link.attributes.get("href") if link else None
    for node in tree.css(DROPPED):
        node.remove()
    return _tidy("".join(_walk(tree.body))) if tree.body else "", *named


def _walk(root: LexborNode) -> Iterator[str]:
    """The tree as pieces of Markdown. A stack and no recursion: pages nest deeper than Python may call."""
    stack: list[LexborNode | str] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            yield node
        elif node.is_text_node:
            yield _inline(node.text_content or "")
        elif node.tag == "pre":
            yield f"\n\n```\n{node.text().strip(chr(10))}\n```\n\n"
        elif node.tag == "tr" and node.css_first(NOT_FLAT) is None:
            yield _row(node)
        else:
            before, after = _marks(node.tag or "")
            yield before
            stack.append(after)
            stack.extend(reversed(list(node.iter(include_text=True))))


def _marks(tag: str) -> tuple[str, str]:
    """What stands before and after an element's text."""
    if tag in HEADINGS:
        return f"\n\n{HEADINGS[tag]} ", "\n\n"
    if tag in BLOCKS or tag in CELLS:
        return "\n\n", "\n\n"
    if tag == "li":
        return "\n- ", "\n"
    return ("\n", "") if tag == "br" else ("", "")


def _row(row: LexborNode) -> str:
    cells = [cell for cell in row.iter() if cell.tag in CELLS]
    line = "\n|" + "".join(f" {_line(cell.text(separator=' ')).replace('|', '/')} |" for cell in cells)
    is_head = row.prev is None and any(cell.tag == "th" for cell in cells)
    return line + ("\n|" + " --- |" * len(cells) if is_head else "")


def _line(text: str) -> str:
    return " ".join(text.split())


def _inline(text: str) -> str:
    """White space in HTML is one space."""
    plain = _line(text)
    return f"{' ' if text[:1].isspace() else ''}{plain}{' ' if plain and text[-1:].isspace() else ''}"


def _tidy(text: str) -> str:
    """No spaces around lines, no more than one empty line, but code as it is."""
    lines: list[str] = []
    is_code = False
    for line in text.split("\n"):
        is_code ^= line.startswith("```")
        plain = line if is_code else _line(line)
        if plain or (lines and lines[-1]):
            lines.append(plain)
    return "\n".join(lines).strip("\n")


def main() -> None:
    """HTML in UTF-8 on standard input; [text, title, address] as JSON on standard output."""
    json.dump(markdown_of(sys.stdin.buffer.read().decode("utf-8", "replace")), sys.stdout)


if __name__ == "__main__":
    main()
