"""Events between processes through Redis streams: one short stream a turn, forgotten after an hour.

Redis is told of events, and never asked what is true: a viewer who misses something here finds it in the database a
second later, for a position in the text is the same everywhere.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import orjson
import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from chatbot.chat.events import Event, parse_position

log = structlog.get_logger(__name__)

KEPT = 3600  # seconds
LONGEST = 20_000  # entries a turn
PATIENCE = 0.5  # seconds that a turn waits for Redis
BLOCK = 1.0  # seconds that a viewer waits for the next event
DOWN = 15.0  # seconds in which a Redis that did not answer is told nothing: viewers elsewhere read the database


class RedisChannel:
    """Publishes what this process's turns say, follows what those of others do."""

    def __init__(self, url: str) -> None:
        # No second tries: the library's own three, with their pauses, would hold a turn for ten seconds.
        once = Retry(NoBackoff(), 0)
        self._redis = redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=once)
        self._following = redis.Redis.from_url(
            url, socket_timeout=BLOCK + 1, socket_connect_timeout=PATIENCE, retry=once, health_check_interval=30
        )
        self._down_until = 0.0

    def publish(self, turn_id: str, event: Event) -> None:
        if time.monotonic() < self._down_until:
            return
        entry = {b"e": orjson.dumps([event.kind, str(event.position), event.data])}
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.xadd(_key(turn_id), entry, maxlen=LONGEST)  # type: ignore[arg-type]
                if event.kind == "start" or event.is_last:
                    pipe.expire(_key(turn_id), KEPT)
                pipe.execute()
        except redis.RedisError as error:  # viewers elsewhere read the database meanwhile
            self._down_until = time.monotonic() + DOWN
            log.warning("redis is away", error=type(error).__name__)

    def follow(self, turn_id: str) -> Iterator[Event | None]:
        last: bytes | str = "0"
        while True:
            try:
                answer = self._following.xread({_key(turn_id): last}, count=500, block=int(BLOCK * 1000))
            except redis.RedisError:
                time.sleep(0.5)
                answer = []
            if not answer:
                yield None
                continue
            for id_, fields in cast(Any, answer)[0][1]:
                last = id_
                with suppress(KeyError, ValueError):
                    yield _event(fields[b"e"])


def _key(turn_id: str) -> str:
    return f"shaman:turn:{turn_id}"


def _event(raw: bytes) -> Event:
    kind, position, data = orjson.loads(raw)
    return Event(kind, data, parse_position(position))
