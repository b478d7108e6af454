"""Any OpenAI-compatible endpoint, through the openai package and Chat Completions, the one surface they all share.

The SDK keeps keys, headers and errors; the stream is read lean (`sse.py`), for its typed parsing costs 1 ms of CPU an
event. What a server supports is found out from its refusals once, and remembered for its endpoint.
"""

import contextlib
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai
from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAI
from openai._types import RequestOptions  # the SDK has no public name for it

from chatbot.errors import ModelBroken, ModelBusy, ModelError, ModelRefused, ModelTimeout
from chatbot.providers import models
from chatbot.providers.contract import Call, ChatRequest, Finish, Stopped
from chatbot.providers.gate import LONGEST_WAIT, Gate
from chatbot.providers.sse import Reply, read_reply
from chatbot.providers.transport import StreamTransport, on_behalf_of

TRIES = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.5, LONGEST_WAIT
# Seconds between reads once text flows: fewer, larger pieces for less work. The more streams, the larger the pieces.
PACE, PACE_A_STREAM, LONGEST_PACE = 0.03, 0.0005, 0.1

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

    tokens_name: str
    other_tokens_name_tried: bool = False
    usage_in_stream: bool = True
    temperature: bool = True


class RawStream(openai.Stream[Any]):
    """The SDK's stream with its parsing left out: only the response is wanted."""

    def __init__(self, *, response: httpx2.Response, **_: Any) -> None:
        self.response = response


class OpenAIProvider:
    """One endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._streams = 0
        self._http = httpx2.Client(transport=StreamTransport(), trust_env=False)
        self._client = OpenAI(
            api_key=endpoint.key or "none", base_url=endpoint.base_url, max_retries=0, http_client=self._http
        )
        self._abilities: dict[str, Abilities] = {}
        self._gates: dict[str, Gate] = {}
        self._first_model: str | None = None

    def stream(self, request: ChatRequest, call: Call) -> Iterator[str | Finish]:
        """Pieces of the answer, then a Finish. Raises one of ModelError, or Stopped when the call was stopped."""
        with on_behalf_of(call):
            model = request.model or self._model(call)
            response = self._begin(model, request, call)
        self._streams += 1
        try:
            yield from self._read(response, model, call)
        finally:
            self._streams -= 1
            response.close()

    def list_models(self, call: Call, longest: int) -> bytes:
        """What the endpoint answers when it is asked for its models, `longest` bytes of it at the most.

        Raises one of openai.OpenAIError or httpx2.HTTPError, ValueError for more than that, or Stopped.
        """
        with on_behalf_of(call):
            stream = self._client.get("/models", cast_to=object, stream=True, stream_cls=RawStream)
        body = b""
        try:
            for piece in stream.response.iter_bytes():
                body += piece
                if len(body) > longest:
                    raise ValueError("longer than any list of models")
            return body
        finally:
            stream.response.close()

    def close(self) -> None:
        """Close the connections that are kept for the next call."""
        self._http.close()

    def _model(self, call: Call) -> str:
        """The model that is meant when nobody names one."""
        if self._endpoint.model:
            return self._endpoint.model
        if self._endpoint.base_url is None:
            return models.default_model()
        if self._first_model is None:
            self._first_model = self._ask_first_model(call)
        return self._first_model

    def warm_up(self) -> None:
        """Do the SDK's lazy imports now (about a second): the first visitor need not wait for them."""
        with contextlib.suppress(openai.OpenAIError):
            self._client.with_options(base_url=NOWHERE, timeout=1).post("/warm-up", body={}, cast_to=object)

    def _ask_first_model(self, call: Call) -> str:
        try:
            listed = self._client.get("/models", cast_to=object)
        except openai.OpenAIError as error:
            if call.is_stopped:
                raise Stopped from error
            raise _as_ours(error) from error
        entries = listed.get("data") if isinstance(listed, dict) else None
        names = [entry.get("id") for entry in entries or [] if isinstance(entry, dict)]
        if not names or not isinstance(names[0], str):
            raise ModelBroken()
        return names[0]

    # --- asking ------------------------------------------------------------------------------------------------------

    def _begin(self, model: str, request: ChatRequest, call: Call) -> httpx2.Response:
        """Send the request until something answers it: retried before the first piece only, and within the deadline."""
        abilities, gate = self._abilities_of(model), self._gates.setdefault(model, Gate())
        tries = 0
        while tries < TRIES:
            if not gate.admit(call):
                tries += 1  # another asked in our place
                continue
            used = replace(abilities)
            try:
                response = self._post(self._body(model, request, used))
                gate.open(call)
                return response
            except openai.OpenAIError as error:
                if call.is_stopped:
                    raise Stopped from error
                if isinstance(error, APIStatusError) and _learn(abilities, used, error):
                    continue
                tries += 1
                self._pause(error, tries, gate, call)
            finally:
                gate.leave(call)
        raise ModelBusy(retry_after=LONGEST_PAUSE)

    def _pause(self, error: openai.OpenAIError, tries: int, gate: Gate, call: Call) -> None:
        """Wait before asking again. Raises one of ModelError when that cannot help, or not in time."""
        ours, pause = _as_ours(error), _pause_before_retry(error, tries)
        if isinstance(ours, ModelBusy):
            gate.shut(call, ours.retry_after or LONGEST_PAUSE if pause is None else pause)
        if pause is None or tries >= TRIES or pause > call.left():
            raise ours from error
        if not isinstance(ours, ModelBusy):
            call.wait(pause)

    def _post(self, body: dict[str, Any]) -> httpx2.Response:
        options: RequestOptions = {"headers": {"Accept": "text/event-stream", "Accept-Encoding": "identity"}}
        stream = self._client.post(
            "/chat/completions",
            body=body,
            cast_to=object,
            options=options,
            stream=True,
            stream_cls=RawStream,
        )
        return stream.response

    def _body(self, model: str, request: ChatRequest, abilities: Abilities) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": role, "content": content} for role, content in request.messages],
            "stream": True,
            abilities.tokens_name: request.max_tokens,
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
                if call.is_stopped:
                    raise Stopped
                if not reply.has_text or reply.is_done or reply.has_more:
                    continue
                now = time.monotonic()
                if now >= call.deadline:
                    raise ModelTimeout()
                if paced > now:
                    time.sleep(paced - now)  # shorter than anybody who stops it notices, and a third of a wait's cost
                paced = time.monotonic() + min(LONGEST_PACE, PACE + PACE_A_STREAM * self._streams)
        except httpx2.HTTPError as error:
            if not reply.has_finish:  # all was said: only the end mark is missing
                raise (ModelTimeout if isinstance(error, httpx2.TimeoutException) else ModelBroken)() from error
        yield Finish(reply.finish_reason, reply.model or model, reply.usage)


def _learn(abilities: Abilities, used: Abilities, error: APIStatusError) -> bool:
    """Whether the refusal named a parameter that can be left out or renamed; then `abilities` remember it.

    `used` is what the refused call went by: another call may have found out the same meanwhile.
    """
    if error.status_code not in (400, 422):
        return False
    if abilities != used:
        return True
    text = str(error.param or f"{error.message} {error.body}").lower()
    if abilities.usage_in_stream and "stream_options" in text:
        abilities.usage_in_stream = False
    elif not abilities.other_tokens_name_tried and abilities.tokens_name in text:
        abilities.other_tokens_name_tried = True
        renamed = abilities.tokens_name == "max_completion_tokens"
        abilities.tokens_name = "max_tokens" if renamed else "max_completion_tokens"
    elif abilities.temperature and "temperature" in text:
        abilities.temperature = False
    else:
        return False
    return True


def _pause_before_retry(error: openai.OpenAIError, tries: int) -> float | None:
    """Seconds to wait before asking again; None for what cannot be cured by asking again."""
    backoff: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1)) * random.uniform(0.75, 1.25)
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
    return backoff if asked is None else float(asked * random.uniform(1.0, 1.1))


def retry_after(value: str | None) -> float | None:
    """Seconds named by a Retry-After header, as a number or a date; None when it names none."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


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
