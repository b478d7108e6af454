"""The documents say what the code does: settings, commands, addresses and links that are really there."""

import re
from pathlib import Path

import pytest

from chatbot.config import Settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = dict(re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
LATER = {name for name in EXAMPLE if name.startswith("OAUTH_NAME_")}
NOT_SHOWN = {"INSTANCE", "PUBLIC_URL", "DATABASE_URL", "DATABASE_OWNER_URL"}  # made from other values


def test_example_names_every_setting():
    assert set(EXAMPLE) - LATER == set(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - NOT_SHOWN))
def test_example_shows_the_default(name):
    default = Settings.model_fields[name].default
    assert EXAMPLE[name] == ("" if default in (None, "", []) else str(default))


def test_example_explains_every_setting():
    lines = (ROOT / ".env.example").read_text().splitlines()
    blocks = [block.splitlines() for block in "\n".join(lines).split("\n\n")]
    silent = [block for block in blocks if block[0].startswith("#") and not block[0].startswith("# ")]
    assert not silent


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    lost = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert not lost


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_exist(document):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", document.read_text(), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document, app):
    named = re.findall(r"(?:`|^|bin/)flask ([a-z][a-z-]+)(?: ([a-z-]+))?", document.read_text(), re.MULTILINE)
    for name, rest in named:
        command = app.cli.commands[name]
        assert not hasattr(command, "commands") or rest in command.commands, f"flask {name} {rest}"


def api_rules(app) -> set[str]:
    """Every address that programs call, as `GET /api/client/search`, with <id> for whatever is filled in."""
    called = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith(("/api/", "/healthz", "/readyz"))]
    doors = [(method, rule.rule) for rule in called for method in rule.methods - {"HEAD", "OPTIONS"}]
    return {f"{method} {re.sub('<[^>]+>', '<id>', path)}" for method, path in doors}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_api_document_names_every_door(app):
    text = (ROOT / "docs/api.md").read_text()
    described = set(re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^\s`?]*)", text))
    assert {f"{method} {path}" for method, path in described} == api_rules(app)
