"""Any OpenAI-compatible endpoint, through the openai package and Chat Completions, the one surface they all share.

The SDK keeps keys, headers and errors; the stream is read lean (`sse.py`), for its typed parsing costs 1 ms of CPU an
event. What a server supports is found out from its refusals once, and remembered for its endpoint.
"""

import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai
from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAI

from chatbot.errors import ModelBroken, ModelBusy, ModelError, ModelRefused, ModelTimeout
from chatbot.providers import models
from chatbot.providers.contract import Call, ChatRequest, Finish
from chatbot.providers.sse import Reply, read_reply
from chatbot.providers.transport import StreamTransport, on_behalf_of

TRIES = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
PACE = 0.04  # seconds between reads once text flows: fewer, larger pieces for less work

NOWHERE = "http://127.0.0.1:1"  # nothing listens there; the request is built and refused at once

NEVER_CURED = {"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached", "billing_not_active"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is: `base_url` None is OpenAI itself, `key` None is for servers that ask for none."""

    base_url: str | None
    key: str | None
    model: str | None


@dataclass(slots=True)
class Abilities:
    """What an endpoint was found to support for a model."""

    token_parameter: str
    other_token_parameter_tried: bool = False
    usage_in_stream: bool = True
    temperature: bool = True


class RawStream(openai.Stream[Any]):
    """The SDK's stream with its parsing left out: only the response is wanted."""

    def __init__(self, *, response: httpx2.Response, **_: Any) -> None:
        self.response = response


class OpenAIProvider:
    """One endpoint."""

    def __init__(self, endpoint: Endpoint, pace: float = PACE) -> None:
        self._endpoint, self._pace = endpoint, pace
        self._http = httpx2.Client(transport=StreamTransport(), trust_env=False)
        self._client = OpenAI(
            api_key=endpoint.key or "none", base_url=endpoint.base_url, max_retries=0, http_client=self._http
        )
        self._abilities: dict[str, Abilities] = {}
        self._first_model: str | None = None

    def stream(self, request: ChatRequest, call: Call) -> Iterator[str | Finish]:
        """Pieces of the answer, then a Finish. Raises one of ModelError, or Stopped when the call was stopped."""
        with on_behalf_of(call):
            model = request.model or self.model()
            response = self._begin(model, request, call)
        try:
            yield from self._read(response, model, call)
        finally:
            response.close()

    def model(self) -> str:
        """The model that is meant when nobody names one."""
        if self._endpoint.model:
            return self._endpoint.model
        if self._endpoint.base_url is None:
            return models.default_model()
        if self._first_model is None:
            self._first_model = self._ask_first_model()
        return self._first_model

    def warm_up(self) -> None:
        """Do the SDK's lazy imports now (about a second): the first visitor need not wait for them."""
        with contextlib.suppress(openai.OpenAIError):
            self._client.with_options(base_url=NOWHERE, timeout=1).post("/warm-up", body={}, cast_to=object)

    def _ask_first_model(self) -> str:
        try:
            listed = self._client.get("/models", cast_to=object)
        except openai.OpenAIError as error:
            raise _as_ours(error) from error
        entries = listed.get("data") if isinstance(listed, dict) else None
        names = [entry.get("id") for entry in entries or [] if isinstance(entry, dict)]
        if not names or not isinstance(names[0], str):
            raise ModelBroken()
        return names[0]

    # --- asking ------------------------------------------------------------------------------------------------------

    def _begin(self, model: str, request: ChatRequest, call: Call) -> httpx2.Response:
        """Send the request until something answers it: retried before the first piece only, and within the deadline."""
        abilities = self._abilities_of(model)
        tries = 0
        while True:
            try:
                return self._post(self._body(model, request, abilities))
            except openai.OpenAIError as error:
                if isinstance(error, APIStatusError) and _learn(abilities, error):
                    continue
                tries += 1
                pause = _pause_before_retry(error, tries)
                if pause is None or tries >= TRIES or pause > call.left():
                    raise _as_ours(error) from error
                call.wait(pause)

    def _post(self, body: dict[str, Any]) -> httpx2.Response:
        options = {"headers": {"Accept": "text/event-stream", "Accept-Encoding": "identity"}}
        stream = self._client.post(
            "/chat/completions",
            body=body,
            cast_to=object,
            options=options,  # type: ignore[arg-type]
            stream=True,
            stream_cls=RawStream,
        )
        return stream.response

    def _body(self, model: str, request: ChatRequest, abilities: Abilities) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": role, "content": content} for role, content in request.messages],
            "stream": True,
            abilities.token_parameter: request.max_tokens,
        }
        if abilities.temperature:
            body["temperature"] = request.temperature
        if abilities.usage_in_stream:
            body["stream_options"] = {"include_usage": True}
        return body

    def _abilities_of(self, model: str) -> Abilities:
        known = self._abilities.get(model)
        if known is None:
            # OpenAI's newer models refuse `max_tokens`; some local servers silently ignore the newer name.
            name = "max_completion_tokens" if self._endpoint.base_url is None else "max_tokens"
            known = self._abilities[model] = Abilities(name)
        return known

    # --- reading -----------------------------------------------------------------------------------------------------

    def _read(self, response: httpx2.Response, model: str, call: Call) -> Iterator[str | Finish]:
        reply = Reply()
        paced = 0.0
        try:
            for text in read_reply(response, reply):
                if text:
                    yield text
                if reply.has_text and not reply.is_done:
                    call.wait(paced - time.monotonic())
                    paced = time.monotonic() + self._pace
                if call.left() <= 0:
                    raise ModelTimeout()
        except httpx2.TimeoutException as error:
            raise ModelTimeout() from error
        except httpx2.HTTPError as error:
            raise ModelBroken() from error
        yield Finish(reply.finish_reason, reply.model or model, reply.usage)


def _learn(abilities: Abilities, error: APIStatusError) -> bool:
    """Whether the refusal named a parameter that can be left out or renamed; then `abilities` remember it."""
    if error.status_code not in (400, 422):
        return False
    text = f"{error.param or ''} {error.message} {error.body}".lower()
    if abilities.usage_in_stream and "stream_options" in text:
        abilities.usage_in_stream = False
    elif not abilities.other_token_parameter_tried and abilities.token_parameter in text:
        abilities.other_token_parameter_tried = True
        renamed = abilities.token_parameter == "max_completion_tokens"
        abilities.token_parameter = "max_tokens" if renamed else "max_completion_tokens"
    elif abilities.temperature and "temperature" in text:
        abilities.temperature = False
    else:
        return False
    return True


def _pause_before_retry(error: openai.OpenAIError, tries: int) -> float | None:
    """Seconds to wait before asking again; None for what cannot be cured by asking again."""
    backoff = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1)) * random.uniform(0.75, 1.25)  # noqa: S311
    if isinstance(error, APITimeoutError):
        return None  # the silence has used up what there was
    if isinstance(error, APIConnectionError):
        return backoff
    if not isinstance(error, APIStatusError) or str(error.code) in NEVER_CURED or str(error.type) in NEVER_CURED:
        return None
    if error.status_code not in (408, 409, 429, 500, 502, 503, 504):
        return None
    asked = retry_after(error.response.headers.get("retry-after"))
    if asked is not None and asked > LONGEST_PAUSE:
        return None  # nobody waits that long for an answer
    return backoff if asked is None else asked * random.uniform(1.0, 1.1)  # noqa: S311


def retry_after(value: str | None) -> float | None:
    """Seconds named by a Retry-After header, as a number or a date; None when it names none."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _as_ours(error: openai.OpenAIError) -> ModelError:
    """The SDK's error as one of the family. Nothing the server said is handed on: it may quote the key."""
    if isinstance(error, APITimeoutError):
        return ModelTimeout()
    if isinstance(error, APIStatusError):
        if str(error.code) in NEVER_CURED or str(error.type) in NEVER_CURED:
            return ModelRefused()
        if error.status_code in (429, 503):
            return ModelBusy(retry_after=retry_after(error.response.headers.get("retry-after")) or 20)
        if error.status_code in (408, 504):
            return ModelTimeout()
        return ModelRefused() if error.status_code < 500 else ModelBroken()
    return ModelBroken()
