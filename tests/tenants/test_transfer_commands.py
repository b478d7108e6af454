"""`flask client export` and `flask client import`: to a file and from one, planned or done, refused by line."""

from pathlib import Path

import pytest
import yaml
from flask.testing import FlaskCliRunner

from chatbot.db import across_tenants
from chatbot.tenants.clients import count_clients, find_client
from tests.test_commands import refused, said
from tests.world import BAKERY, OTHER, World

TEXT = f"""clients:
- slug: {BAKERY}
  settings: {{greeting: Hello}}
- slug: new
  name: New
  people: [{{email: ada@new.example, role: admin}}]
  identity_provider: {{issuer: "https://login.example", client_id: x}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clients.yaml"
    path.write_text(TEXT)
    return path


def clients(world: World) -> int:
    with world.app.app_context(), across_tenants(writes=False):
        return count_clients()


def test_all_clients_are_printed(world: World, runner: FlaskCliRunner) -> None:
    printed = yaml.safe_load("\n".join(said(runner, "client", "export")))
    assert [client["slug"] for client in printed["clients"]] == [BAKERY, OTHER]


@pytest.mark.parametrize("name, begins", [("x.yaml", b"clients:"), ("x.json", b"{"), ("x", b"clients:")])
def test_chosen_clients_go_into_a_file_of_ones_own(
    world: World, runner: FlaskCliRunner, tmp_path: Path, name: str, begins: bytes
) -> None:
    path = tmp_path / name
    path.write_text("before")
    assert said(runner, "client", "export", OTHER, "-o", str(path)) == [f"1 client is in {path}."]
    assert path.read_bytes().startswith(begins) and path.stat().st_mode & 0o777 == 0o600
    assert [client["slug"] for client in yaml.safe_load(path.read_text())["clients"]] == [OTHER]


def test_an_export_that_cannot_be_is_refused(world: World, runner: FlaskCliRunner, tmp_path: Path) -> None:
    assert "nobody" in refused(runner, "client", "export", OTHER, "nobody")
    assert "No such file" in refused(runner, "client", "export", "-o", str(tmp_path / "none" / "x.yaml"))


def test_a_dry_run_shows_the_plan(world: World, runner: FlaskCliRunner, file: Path) -> None:
    lines = said(runner, "client", "import", str(file), "--dry-run")
    assert f"change {BAKERY} (Harbour Bakery)" in lines
    assert "    settings.greeting: Good morning! → Hello" in lines
    assert "create new (New)" in lines and "Nothing was stored." in lines
    assert any("The secret of the client's identity provider" in line for line in lines)
    assert clients(world) == 2


def test_an_import_is_done_once(world: World, runner: FlaskCliRunner, file: Path) -> None:
    lines = said(runner, "client", "import", str(file))
    assert "Clients: 1 made, 1 changed, 0 unchanged." in lines
    assert any(line.startswith("    new ada@new.example http://127.0.0.1:5000/link/") for line in lines)
    assert said(runner, "client", "import", str(file))[0] == "Clients: 0 made, 0 changed, 2 unchanged."
    assert clients(world) == 3


def test_what_was_exported_is_imported(world: World, runner: FlaskCliRunner) -> None:
    text = "\n".join(said(runner, "client", "export"))
    assert said(runner, "client", "import", "-", input=text) == ["Clients: 0 made, 0 changed, 2 unchanged."]


@pytest.mark.parametrize("by_file", [False, True])
def test_a_table_makes_clients_from_a_template(
    world: World, runner: FlaskCliRunner, tmp_path: Path, by_file: bool
) -> None:
    table, beside = tmp_path / "shops.csv", tmp_path / "template.yaml"
    table.write_text("slug,name\nshop-1,Shop 1\nshop-2,Shop 2\n")
    beside.write_text("clients: [{slug: any, anonymous_chat: true}]")
    said(runner, "client", "import", str(table), "--template", str(beside) if by_file else BAKERY)
    with world.app.app_context(), across_tenants(writes=False):
        assert find_client("shop-2").anonymous_chat


def test_what_is_wrong_is_told_by_line_and_nothing_is_done(world: World, runner: FlaskCliRunner, file: Path) -> None:
    file.write_text(TEXT + "- slug: B!\n- name: x\n")
    done = runner.invoke(args=["client", "import", str(file)])
    assert done.exit_code != 0 and clients(world) == 2
    assert "Line 8: B! slug: A client's short name has only the letters" in done.stderr
    assert "Line 9: slug: This is missing." in done.stderr
    line = refused(runner, "client", "import", str(file))
    assert line.startswith("Error: Nothing was imported: 2 things in it can't be used.")


def test_a_file_that_is_not_there_is_refused(world: World, runner: FlaskCliRunner) -> None:
    assert "No such file" in refused(runner, "client", "import", "/nowhere.yaml")
    assert "nobody" in refused(runner, "client", "import", "-", "--template", "nobody", input="slug,name\na,A\n")
