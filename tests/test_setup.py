"""`bin/setup`: it makes .venv once, mends one that was broken off, and says plainly what is lacking."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = ("sh", "cat", "cksum", "cut", "dirname", "grep", "head", "mkdir", "rm", "touch")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with an empty lock, so that nothing is fetched, and its .venv made."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "bin", folder / "bin")
    (folder / "requirements.txt").write_text("# nothing\n")
    assert set_up(folder).returncode == 0
    return folder


def set_up(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    given = os.environ | {"PYTHON": sys.executable} | environment
    return subprocess.run(
        ["/bin/sh", folder / "bin/setup", "run"], env=given, capture_output=True, text=True, timeout=50
    )


def test_a_second_run_has_nothing_to_do(checkout):
    assert set_up(checkout).stdout == ""


def test_a_changed_lock_is_installed(checkout):
    (checkout / "requirements.txt").write_text("# nothing still\n")
    assert "installing requirements.txt" in set_up(checkout).stdout


def test_a_broken_off_install_is_made_anew(checkout):
    (checkout / ".venv/.unfinished").touch()
    (checkout / ".venv/half").touch()
    assert "making .venv" in set_up(checkout).stdout
    assert not (checkout / ".venv/half").exists()


def test_a_lost_python_is_found_anew(checkout):
    for link in (checkout / ".venv/bin").glob("python*"):
        link.unlink()
    assert "making .venv" in set_up(checkout).stdout
    assert set_up(checkout).stdout == ""


@pytest.fixture
def bare(tmp_path):
    """A machine's tools without any Python, and a fresh checkout beside them."""
    (tmp_path / "tools").mkdir()
    for tool in TOOLS:
        (tmp_path / "tools" / tool).symlink_to(str(shutil.which(tool)))
    shutil.copytree(ROOT / "bin", tmp_path / "bin")
    (tmp_path / "requirements.txt").write_text("")
    return tmp_path


def test_no_python_is_one_line(bare):
    ended = set_up(bare, PATH=str(bare / "tools"), PYTHON="")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Shaman: Python 3.11 or newer is needed")
    assert not (bare / ".venv").exists()


def test_a_python_without_venv_is_named(bare):
    python = bare / "tools/python3"
    python.write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    ended = set_up(bare, PATH=str(bare / "tools"), PYTHON="")
    assert "python3 lacks venv and ensurepip" in ended.stderr
    assert not (bare / ".venv").exists()
