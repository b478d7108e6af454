"""Tables of an answer: no wider and no longer than their text pays for, their alignment as a class of ours."""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import table
from markdown_it.token import Token

MOST_COLUMNS = 50
SPARE_CELLS = 1000
ALIGNMENTS = {"align-left", "align-center", "align-right"}
_STYLE = re.compile(r"text-align:(left|center|right)")


def bound_tables(markdown: MarkdownIt) -> MarkdownIt:
    """Show what is wider than MOST_COLUMNS, or empty beyond reason, as the text that it is.

    A short row is filled up with empty cells, so 2.8 KB of text were 65,000 cells: 660 KB of HTML, 2 s of work. A cell
    that somebody wrote has a character at least; SPARE_CELLS may be filled up beside those.
    """
    markdown.block.ruler.at("table", _bounded_table, {"alt": ["paragraph", "reference"]})
    return markdown


def _bounded_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if start + 2 > end:
        return False
    columns = state.src.count("|", state.bMarks[start + 1], state.eMarks[start + 1]) + 1
    left = len(state.src) + SPARE_CELLS - state.env.get("cells", 0)
    rows = left // columns
    if columns > MOST_COLUMNS + 2 or rows < 1:  # the marks at both ends of the line are no columns
        return False
    if not table(state, start, min(end, start + 1 + rows), silent):
        return False
    if not silent:
        state.env["cells"] = state.env.get("cells", 0) + columns * (state.line - start)
    return True


def align_cells(tokens: Sequence[Token]) -> None:
    """Turn the alignment of cells from a style, which the page allows nowhere, into a class."""
    for token in tokens:
        if token.type in ("th_open", "td_open"):
            found = _STYLE.fullmatch(str(token.attrs.pop("style", "")))
            if found:
                token.attrs["class"] = f"align-{found[1]}"
