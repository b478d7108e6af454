"""The product in processes of its own, the model in another, and visitors to it."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.model import ModelServer
from chatbot import create_app
from chatbot.db import across_tenants
from chatbot.tenants.clients import find_client
from tests.crash.product import Product
from tests.crash.sender import Sender
from tests.world import BAKERY, make_world

Say = Callable[[str], None]


@pytest.fixture(scope="session")
def model_process() -> Iterator[ModelServer]:
    with ModelServer(process=True) as server:
        yield server


def make_product(folder: Path, template: Path, model: ModelServer, script: str, **env: str) -> Product:
    """A product whose client has limits, so that each turn holds something; not started yet."""
    shutil.copy(template, folder / "shaman.db")
    app = create_app(INSTANCE=str(folder))
    make_world(app)
    with app.app_context():
        with across_tenants():
            find_client(BAKERY).limits = {"messages_per_day": 1_000_000, "tokens_per_month": 1_000_000_000}
        app.extensions["shaman_database"].engine.dispose()
    return Product(folder, {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": script, **env})


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Print a line of figures, captured or not: they are what a long run is for."""

    def to_terminal(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return to_terminal


@pytest.fixture
def script() -> str:
    """How the model speaks."""
    return "paced-50-50-100"


@pytest.fixture
def product(tmp_path: Path, sqlite_template: Path, model_process: ModelServer, script: str) -> Iterator[Product]:
    made = make_product(tmp_path, sqlite_template, model_process, script)
    made.start()
    yield made
    made.stop()


def visitors(product: Product, count: int) -> list[Sender]:
    """So many browsers, each of which has opened the page."""
    senders = [Sender(product.port) for _ in range(count)]
    for sender in senders:
        sender.page()
    return senders
