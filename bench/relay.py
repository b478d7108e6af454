"""The bare relay, a yardstick: the fewest lines of Flask that hand a model's stream on. It stores, checks and knows nothing.

MODEL_URL=http://127.0.0.1:8000/v1 gunicorn -k gevent --worker-connections 2000 bench.relay:app
"""

import http.client
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from flask import Flask, Response, request

app = Flask(__name__)
model = urlsplit(os.environ.get("MODEL_URL", "http://127.0.0.1:8000/v1"))


@app.post("/chat")
def chat() -> Response:
    """The model's events as they come, unread."""
    line = http.client.HTTPConnection(model.hostname or "", model.port)
    line.request("POST", f"{model.path}/chat/completions", request.get_data(), {"content-type": "application/json"})

    def pieces() -> Iterator[bytes]:
        with line.getresponse() as answer:
            while piece := answer.read1():
                yield piece

    return Response(pieces(), content_type="text/event-stream")
