"""Prints files and functions that have grown large. Size is a smell and not a law, so this never fails.

Files: look twice from 250 lines on, split by 400. Functions: from 40 on, 60 at the most.
"""

import ast
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("chatbot", "bench", "tests", ".ci")
FILE_LINES, FUNCTION_LINES, PARAMETERS = 250, 40, 6


def main() -> None:
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) if "versions" not in path.parts]
    lengths = {path: len(path.read_text().splitlines()) for path in files}
    print(f"Sizes: {len(files)} files, {sum(lengths.values())} lines, the median file {middle(lengths.values())} lines")
    for path, length in sorted(lengths.items(), key=lambda pair: -pair[1]):
        if length >= FILE_LINES:
            print(f"  {length:4} lines  {path.relative_to(ROOT)}")
    for path in files:
        report_functions(path)


def report_functions(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        arguments = node.args
        count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
        if length >= FUNCTION_LINES or count > PARAMETERS:
            place = f"{path.relative_to(ROOT)}:{node.lineno}"
            print(f"  {length:4} lines, {count} parameters  {node.name}  {place}")


def middle(numbers: Iterable[int]) -> int:
    ordered = sorted(numbers)
    return ordered[len(ordered) // 2] if ordered else 0


main()
