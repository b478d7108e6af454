"""Shaman: AI chat assistants for many small businesses, hosted by one operator. This page is its table of contents."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask, g, has_request_context, request

from chatbot import cli, health, home, rails
from chatbot.accounts.doors import init_accounts
from chatbot.accounts.openid import oauth, provider_routes
from chatbot.accounts.second_factor.setup import init_factors
from chatbot.accounts.setup import init_account_pages
from chatbot.admin import init_admin
from chatbot.api import init_api
from chatbot.chat.setup import init_chat
from chatbot.config import Settings, load_settings
from chatbot.console import init_console
from chatbot.db import init_database
from chatbot.error_pages import init_errors
from chatbot.extensions import babel, cors, csrf, limiter, login
from chatbot.knowledge.setup import init_knowledge
from chatbot.logs import init_logs
from chatbot.pages import OWN_LANGUAGE, choose_language, init_pages, languages
from chatbot.rate_storage import IN_MEMORY
from chatbot.schema import init_schema
from chatbot.security import init_security
from chatbot.tenants.doors import init_doors

PROJECT = Path(__file__).resolve().parent.parent
TRANSLATIONS = PROJECT / "chatbot" / "translations"


def create_app(**given: Any) -> Flask:
    """The application. `given` settings (tests, tools) go before the environment's."""
    settings = load_settings(**given)
    app = Flask(
        "chatbot",
        root_path=str(PROJECT / "chatbot"),
        template_folder=str(PROJECT / "templates"),
        static_folder=str(PROJECT / "static"),
        instance_path=str(settings.INSTANCE.resolve()),
    )
    app.config["SHAMAN"] = settings
    init_logs(app, settings)
    init_security(app, settings)
    init_database(app, settings)
    init_schema(app)
    init_extensions(app, settings)
    init_errors(app)
    init_doors(app)
    init_accounts(app)
    init_factors(app)
    init_account_pages(app)
    app.register_blueprint(oauth.blueprint)
    app.register_blueprint(provider_routes.blueprint)
    init_knowledge(app, settings)
    init_chat(app, settings)
    init_api(app)
    init_console(app)
    init_admin(app)
    init_pages(app)
    rails.init_rails(app)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(home.blueprint)
    cli.init_commands(app)
    return app


def init_extensions(app: Flask, settings: Settings) -> None:
    app.config.update(
        RATELIMIT_STORAGE_URI=settings.REDIS_URL or IN_MEMORY,
        RATELIMIT_IN_MEMORY_FALLBACK_ENABLED=bool(settings.REDIS_URL),
        RATELIMIT_STORAGE_OPTIONS=_redis_patience() if settings.REDIS_URL else {},
        RATELIMIT_KEY_PREFIX="shaman",
        BABEL_DEFAULT_LOCALE=OWN_LANGUAGE,
        BABEL_TRANSLATION_DIRECTORIES=str(TRANSLATIONS),
    )
    babel.init_app(app, locale_selector=partial(_language, languages(TRANSLATIONS)), timezone_selector=_time_zone)
    csrf.init_app(app)
    limiter.init_app(app)
    login.init_app(app)
    cors.init_app(app, resources={r"/api/*": {"origins": settings.CORS_ORIGINS}})


def _redis_patience() -> dict[str, Any]:
    """A Redis that is silent is away: without these the limits would wait for it, instead of counting in memory."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0)}


def _language(spoken: Sequence[str]) -> str:
    return choose_language(request.accept_languages if has_request_context() else (), spoken)


def _time_zone() -> str | None:
    """Times are shown as they are where the client is that a request has entered; elsewhere in UTC."""
    tenant = g.get("tenant") if has_request_context() else None
    return tenant.limits.time_zone if tenant is not None else None
