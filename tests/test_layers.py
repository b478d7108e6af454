"""What may import what. The layers themselves stand in pyproject.toml."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter import cli

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "chatbot"

# What belongs to one request, or draws a page.
OF_A_REQUEST = {"request", "session", "g", "current_user", "render_template", "render_template_string", "flash"}
# Who may touch it: the edges of a concept, the surfaces, and the base modules that stand around every request.
EDGES = {"routes", "doors", "oauth", "transports"}
SURFACES = {"admin", "api", "console", "embed"}
AROUND_A_REQUEST = {"__init__", "error_pages", "extensions", "health", "home", "logs", "rails", "security"}

# Statements that the tenant-bound session can't scope; their tenant is bound by `db.Unit`, or they have none.
RAW_SQL = {"insert", "text", "literal_column"}
RAW_SQL_MODULES = {
    "chat/ending",
    "chat/store",
    "db",
    "jobs",
    "knowledge/store",
    "tenancy",
    "usage/ledger",
    "usage/quotas",
}


def modules() -> list[str]:
    """Every module as `concept/name`, without migrations."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(path.as_posix() for path in paths if path.parts[0] != "migrations" and "." not in path.name)


def imports(module: str) -> Iterator[tuple[str, str]]:
    """Each (module, name) that a `from … import …` of this module brings in; ("flask", "") for `import flask`."""
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def test_imports_point_one_way(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert cli.lint_imports(no_cache=True) == cli.EXIT_STATUS_SUCCESS


@pytest.mark.parametrize("module", modules())
def test_only_edges_touch_the_request(module):
    concept, _, name = module.rpartition("/")
    if (
        name in EDGES
        or name.endswith("_routes")
        or module.split("/")[0] in SURFACES
        or (not concept and name in AROUND_A_REQUEST)
    ):
        return
    touched = {name for source, name in imports(module) if source.startswith("flask") and name in OF_A_REQUEST}
    assert not touched, f"{module} touches {touched}: hand it plain values instead"


@pytest.mark.parametrize("module", [name for name in modules() if name.endswith(("/models", "/forms"))])
def test_models_and_forms_know_nothing_of_pages(module):
    above = {"routes", "doors", "transports"} | ({"forms"} if module.endswith("/models") else set())
    known = {source for source, _ in imports(module) if source.rpartition(".")[2] in above}
    assert not known


@pytest.mark.parametrize("module", modules())
def test_raw_sql_lives_in_few_modules(module):
    if module in RAW_SQL_MODULES or module.endswith("/models"):  # a model's partial index is written as text
        return
    raw = {name for source, name in imports(module) if source.startswith("sqlalchemy") and name in RAW_SQL}
    assert not raw, f"{module} writes SQL that the tenant's scope doesn't reach"


@pytest.mark.parametrize("module", modules())
def test_only_the_settings_read_the_environment(module):
    if module == "config":
        return
    source = (PACKAGE / f"{module}.py").read_text()
    assert not re.search(r"os\.(getenv|environ\b(?!\.setdefault))|from os import .*env", source)


def test_nothing_is_imported_by_star():
    assert not [module for module in modules() for _, name in imports(module) if name == "*"]
