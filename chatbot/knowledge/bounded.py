"""Parsing what somebody sent in a process of its own, with bounds: nothing in a file can take the server along.

A few megabytes of nested tags keep the HTML parser busy for half an hour without letting any other thread run (tried).
"""

import subprocess
import sys
from pathlib import Path

SECONDS = 10
MEMORY = 1 << 30  # bytes of address space

# The child bounds itself: `preexec_fn` can hang a process that has threads.
_START = f"""
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
runpy.run_path(sys.argv[1], run_name="__main__")
"""


class OutOfBounds(Exception):
    """The parser needed more time or memory than it is given, or broke."""


def run_bounded(program: Path, content: bytes) -> bytes:
    """What `program`, a Python file of ours, writes to its output when given `content`. Raises OutOfBounds."""
    command = [sys.executable, "-I", "-c", _START, str(program)]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=3 * SECONDS, check=True)  # noqa: S603
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        raise OutOfBounds from error
    return done.stdout
