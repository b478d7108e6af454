"""A parser that runs wild is ended, and takes nothing along."""

import pytest

from chatbot.knowledge.bounded import OutOfBounds, run_bounded
from chatbot.knowledge.parsing import HTML_PROGRAM


def test_output_comes_back():
    assert run_bounded(HTML_PROGRAM, "<title>Ä</title><p>Rye".encode()) == b'["Rye", "\\u00c4", null]'


@pytest.mark.parametrize("program", ["bytearray(2 << 30)", "raise ValueError", "import os; os.kill(os.getpid(), 9)"])
def test_a_program_that_breaks_is_out_of_bounds(tmp_path, program):
    (tmp_path / "program.py").write_text(program)
    with pytest.raises(OutOfBounds):
        run_bounded(tmp_path / "program.py", b"")
