"""A browser on the real server: gunicorn as it is shipped, a database of its own, and a model that does what it is told.

The model (`obey`) says what stands after `say ` in a message, or plays the script named after `play `.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from bench.model import ModelServer
from bench.servers import Server
from chatbot import create_app
from chatbot.db import as_tenant
from chatbot.knowledge.reading import read_now
from chatbot.knowledge.sources import add_file
from chatbot.tenants.clients import create_client
from tests.browser.site import CHROMIUM, CURIOUS, HASTY, ChatPage, Site, Visitor
from tests.browser.wire import Wire
from tests.world import BAKERY, make_world

HERE = Path(__file__).parent
HOURS = "---\ntitle: Opening hours\nurl: https://bakery.example/hours\n---\n# The week\n\nWe are open from 8:00 to 18:00, on Saturdays until 13:00."
BREAD = "---\ntitle: Bread\n---\n# Bread\n\nOur rye loaf costs 4 euros and keeps for five days."


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Without it these tests are skipped; in CI they fail."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        reason = f"Chromium is not here: none of {', '.join(CHROMIUM)} is on the PATH, and CHROMIUM names none"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def furnish(instance: Path) -> None:
    """The story's clients, the bakery with knowledge, and two more for what they alone have."""
    app = create_app(INSTANCE=str(instance))
    world = make_world(app)
    with app.app_context():
        questions = {"greeting": "Hello.", "suggested_questions": ["say We deliver on Fridays.", "Do you bake rye?"]}
        create_client(CURIOUS, "Curious Shop", questions, anonymous_chat=True)
        create_client(HASTY, "Hasty Shop", anonymous_chat=True, limits={"chat_rate": "2 per minute"})
        with as_tenant(world.ids[BAKERY]):
            sources = [add_file(name, text.encode()).id for name, text in (("hours.md", HOURS), ("bread.md", BREAD))]
        for source in sources:
            with as_tenant(world.ids[BAKERY]):
                read_now(source)
        app.extensions["shaman_database"].engine.dispose()


def serve(instance: Path, **settings: str) -> Server:
    quiet = {name: "" for name in os.environ if name.startswith(("OPENAI_", "DATABASE_", "REDIS_"))}
    given = quiet | {"INSTANCE": str(instance), "CHAT_RATE_LIMIT": "1000 per minute"} | settings
    command = [sys.executable, "bin/serve"]
    return Server("Shaman", command, "/readyz", given, log=instance / "server.log")


@pytest.fixture(scope="package")
def furnished(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("furnished")
    shutil.copy(sqlite_template, folder / "shaman.db")
    furnish(folder)
    return folder


@pytest.fixture(scope="package")
def site(furnished: Path, model: ModelServer) -> Iterator[Site]:
    """The server with the obeying model, and the wire to it."""
    with serve(furnished, OPENAI_BASE_URL=model.base_url, OPENAI_MODEL="obey") as server, Wire(server.port) as wire:
        yield Site(f"http://127.0.0.1:{server.port}", wire)


@pytest.fixture(scope="package")
def quoting_site(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same clients on a server without a model: answers are quoted from their knowledge."""
    folder = tmp_path_factory.mktemp("quoting")
    shutil.copytree(furnished, folder, dirs_exist_ok=True)
    with serve(folder) as server, Wire(server.port) as wire:
        yield Site(f"http://127.0.0.1:{server.port}", wire)


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Opens a new visitor's browser; at the end no page may have complained of anything but a refused request."""
    visitors: list[Visitor] = []

    def open_browser(**options: object) -> Visitor:
        visitors.append(Visitor(chromium.new_context(**options)))  # type: ignore[arg-type]
        return visitors[-1]

    yield open_browser
    for visitor in visitors:
        try:
            assert visitor.complaints == []
        finally:
            visitor.context.close()


@pytest.fixture
def vera(visit: Callable[..., Visitor], site: Site) -> ChatPage:
    """Vera on the bakery's chat page."""
    return visit().open(site)
