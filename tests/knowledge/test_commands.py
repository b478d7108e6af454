"""`flask knowledge add`."""

import pytest

from tests.world import BAKERY


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder `docs` with two files to read, one inside another folder, and some that are none of ours."""
    monkeypatch.chdir(tmp_path)
    for name in ("docs/bread.md", "docs/more/cakes.txt", "docs/logo.png", "docs/.hidden/secret.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"This is {name}")
    return tmp_path


def add(runner, *paths):
    return runner.invoke(args=["knowledge", "add", BAKERY, *paths])


def test_reads_a_folder_at_once(shelf, runner, folder):
    done = add(runner, "docs")
    assert (done.exit_code, done.stdout) == (0, "docs/bread.md: 1 passage\ndocs/more/cakes.txt: 1 passage\n")
    assert {passage.text for passage in shelf.passages()} == {"This is docs/bread.md", "This is docs/more/cakes.txt"}
    assert shelf.jobs("read_source") == 0


def test_says_what_is_unchanged(shelf, runner, folder):
    add(runner, "docs/bread.md")
    assert add(runner, str(folder / "docs/bread.md")).stdout == "docs/bread.md: unchanged\n"


@pytest.mark.parametrize("path", ["docs/logo.png", "docs/none.md", "https://bakery.example/menu", "docs/broken.json"])
def test_says_what_cannot_be_read_and_reads_the_rest(shelf, runner, folder, path):
    (folder / "docs/broken.json").write_text("[")
    done = add(runner, path, "docs/bread.md")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"{path}: ")
    assert len(shelf.passages()) == 1


def test_unknown_client(app, runner, world, folder):
    done = runner.invoke(args=["knowledge", "add", "nobody", "docs"])
    assert (done.exit_code, done.stderr) == (1, "Error: There is no client “nobody”.\n")
