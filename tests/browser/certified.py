"""A certified OpenID Connect provider (npm's oidc-provider) for tests in the browser, on Node.js."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page

from bench.servers import Server, free_port

HERE = Path(__file__).parent / "oidc"
CLIENT = {"client_id": "shaman", "client_secret": "a secret, of the tests: +%"}


def modules() -> Path:
    """The folder where `npm ci` has put the provider. Without Node.js, npm or its registry: skipped, in CI a failure."""
    if not (shutil.which("node") and shutil.which("npm")):
        _do_without("Node.js and npm are not here (18 or newer)")
    version = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shaman-tests"
    folder = cache / f"oidc-{version}"
    if not folder.exists():
        _install(folder)
    return folder


def _install(folder: Path) -> None:
    """Into a folder of its own first, so that one broken off is never taken for whole."""
    new = folder.with_name(f"{folder.name}.{os.getpid()}")
    new.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, new)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=new, capture_output=True, text=True, timeout=300)
    if done.returncode:
        shutil.rmtree(new)
        _do_without(f"npm ci could not fetch oidc-provider: {done.stderr.strip()[-500:]}")
    new.rename(folder)


def _do_without(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def provider_for(callbacks: list[str], log: Path) -> Server:
    """The provider, not yet started, that sends people back to `callbacks`."""
    clients = json.dumps([CLIENT | {"redirect_uris": callbacks}])
    command = ["node", str(HERE / "provider.mjs"), str(modules()), clients]
    return Server("oidc-provider", command, "/jwks", port=free_port(), log=log)


def sign_in_there(page: Page, name: str) -> None:
    """On the provider's own pages: who one is, and that one agrees."""
    page.get_by_placeholder("Enter any login").fill(name)
    page.get_by_placeholder("and password").fill("x")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
