"""The locks hold what the .in files ask for, in one set of versions."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(file: str) -> dict[str, str]:
    """Name → pinned version ('' when open) of every line in an .in file."""
    lines = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?(?:==([\w.]+))?", (ROOT / file).read_text(), re.MULTILINE)
    return {plain(name): version for name, version in lines if not name.startswith("-")}


def locked(file: str) -> dict[str, str]:
    lines = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / file).read_text(), re.MULTILINE)
    return {plain(name): version for name, version in lines}


def missing(wanted: dict[str, str], lock: dict[str, str]) -> list[str]:
    return [name for name, version in wanted.items() if lock.get(name) is None or version not in ("", lock[name])]


def test_requirements_are_locked():
    assert not missing(asked("requirements.in"), locked("requirements.txt")), "run `make lock`"


def test_development_requirements_are_locked():
    assert not missing(asked("requirements-dev.in"), locked("requirements-dev.txt")), "run `make lock`"


def test_tests_run_what_is_served():
    assert locked("requirements.txt").items() <= locked("requirements-dev.txt").items()


def test_every_library_has_its_hashes():
    for file in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / file).read_text()
        blocks = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
        assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_the_lock_names_no_place():
    for file in ("requirements.txt", "requirements-dev.txt"):
        assert not re.search(
            r"^(--index-url|--extra-index-url|--find-links)|://|file:", (ROOT / file).read_text(), re.MULTILINE
        )
