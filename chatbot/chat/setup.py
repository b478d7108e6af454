"""Putting the chat into the application: its routes, and the running turns of this process."""

import socket

from flask import Flask

from chatbot.chat import routes
from chatbot.chat.channel import Channel, NoChannel
from chatbot.chat.doors import init_chat_doors
from chatbot.chat.live import Live
from chatbot.chat.turn import Worker
from chatbot.config import Settings
from chatbot.extensions import csrf
from chatbot.providers import Providers
from chatbot.tenancy import new_id


def init_chat(app: Flask, settings: Settings) -> None:
    """The chat page, and the running turns of this process."""
    worker = Worker(owner=f"{socket.gethostname()[:20]}:{new_id()}", settings=settings, providers=Providers(settings))
    app.extensions["shaman_live"] = Live(app, worker, _channel(settings))
    init_chat_doors(app)
    csrf.exempt(routes.blueprint)  # its views check their forms themselves, and keep what was typed
    app.register_blueprint(routes.blueprint)


def _channel(settings: Settings) -> Channel:
    if not settings.REDIS_URL:
        return NoChannel()
    from chatbot.chat.redis_channel import RedisChannel  # 4 MB that one process alone can do without

    return RedisChannel(settings.REDIS_URL)
