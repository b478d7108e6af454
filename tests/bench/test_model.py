"""The simulated model answers as its scripts promise, to the openai package as to a raw socket."""

import base64
import json
import socket
import urllib.request

import openai
import pytest

from bench.model import ModelServer
from bench.model.catalogue import SCRIPTS, describe

HELLO = [{"role": "user", "content": "Good morning, two loaves please"}]


@pytest.fixture(scope="module")
def server():
    with ModelServer() as running:
        yield running


@pytest.fixture
def model(server):
    server.reset()
    return server


@pytest.fixture
def client(model):
    with openai.OpenAI(base_url=model.base_url, api_key="key-a", max_retries=0, timeout=5) as made:
        yield made


def spoken(client, name, **more):
    """The streamed text, the finish reason and the usage."""
    text, finish, usage = "", None, None
    options = {"include_usage": True}
    for piece in client.chat.completions.create(
        model=name, messages=HELLO, stream=True, stream_options=options, **more
    ):
        for choice in piece.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
        usage = piece.usage or usage
    return text, finish, usage


def raw(model, body, until=b"[DONE]"):
    """The bytes of an answer as they come over the line, and whether it ended in a reset."""
    host, port = model.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        data = json.dumps({"messages": HELLO, **body}).encode()
        line.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        got = b""
        try:
            while until not in got and (piece := line.recv(65536)):
                got += piece
        except ConnectionResetError:
            return got, True
        return got, False


def test_streams_to_the_sdk_with_true_usage(client, model):
    text, finish, usage = spoken(client, "instant-7")
    assert (len(text.split()), finish) == (7, "stop")
    assert (usage.prompt_tokens, usage.completion_tokens) == (5, 7)
    assert model.tally()["keys"]["Bearer key-a"]["completion_tokens"] == 7


def test_a_whole_answer_says_the_same(client):
    whole = client.chat.completions.create(model="instant-7", messages=HELLO)
    assert whole.choices[0].message.content == spoken(client, "instant-7")[0]


def test_heeds_the_limit(client):
    text, finish, _ = spoken(client, "instant-50", max_tokens=3)
    assert (len(text.split()), finish) == (3, "length")


def test_echo_and_say(client):
    coded = base64.urlsafe_b64encode("Grüße, 5 €".encode()).decode().rstrip("=")
    assert spoken(client, "echo")[0] == HELLO[0]["content"]
    assert spoken(client, f"say-{coded}")[0] == "Grüße, 5 €"


@pytest.mark.parametrize(
    "name", ["crlf", "bom", "comments", "fields", "multiline", "no-space", "gzip", "empty-choices"]
)
def test_odd_streams_are_legal(model, name):
    """The SDK itself stumbles over some of these; a reader that follows the standard does not."""
    body, _ = raw(model, {"model": name, "stream": True}, until=b"0\r\n\r\n")
    assert b"200 OK" in body
    assert body.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("size", [1, 3])
def test_characters_cut_in_two_arrive_whole(client, size):
    text, finish, _ = spoken(client, f"utf8-cut-{size}")
    assert "👩‍👩‍👧‍👦" in text
    assert "안녕" in text
    assert "\ufffd" not in text
    assert finish == "stop"


def test_cut_resets_after_so_many_bytes(model):
    body, reset = raw(model, {"model": "cut-300", "stream": True})
    assert reset
    assert 300 <= len(body.partition(b"\r\n\r\n")[2]) < 340  # and the framing of a chunk or two


def test_fin_ends_without_a_mark(model):
    body, reset = raw(model, {"model": "fin-300", "stream": True})
    assert not reset
    assert not body.endswith(b"0\r\n\r\n")


def test_errors_are_of_the_sdks_own_kinds(client):
    with pytest.raises(openai.RateLimitError) as quota:
        spoken(client, "status-429-quota")
    assert quota.value.code == "insufficient_quota"
    with pytest.raises(openai.RateLimitError) as busy:
        spoken(client, "status-429-retry-7")
    assert busy.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.NotFoundError):
        spoken(client, "never-heard-of")


def test_flaky_counts_each_name_apart(client):
    for name in ("flaky-1-a", "flaky-1-b"):
        with pytest.raises(openai.InternalServerError):
            spoken(client, name)
        assert spoken(client, name)[1] == "stop"


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("no-max-completion-tokens", {"max_completion_tokens": 5}),
        ("no-max-tokens", {"max_tokens": 5}),
        ("no-temperature", {"temperature": 0.7}),
    ],
)
def test_servers_that_lack_a_parameter_name_it(client, name, parameter):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=name, messages=HELLO, **parameter)
    assert refused.value.param in parameter
    assert client.chat.completions.create(model=name, messages=HELLO).choices[0].message.content


def test_says_when_the_caller_hung_up(client, model):
    with client.chat.completions.create(model="silent-after-2", messages=HELLO, stream=True) as answer:
        next(iter(answer))
    request = model.wait_for(lambda request: request["closed_by_caller_at"])
    assert request["body"]["messages"] == HELLO
    assert request["completed_at"] is None


def test_embeddings_stay_and_are_near_for_shared_words(client):
    same, again, near, far = (
        row.embedding
        for row in client.embeddings.create(
            model="embed", input=["rye bread", "rye bread", "fresh rye bread", "opening hours"]
        ).data
    )
    product = lambda one, other: sum(a * b for a, b in zip(one, other, strict=True))  # noqa: E731
    assert same == again
    assert product(same, near) > product(same, far)


def test_lists_every_script_with_its_words(client):
    assert [known.id for known in client.models.list()] == list(SCRIPTS)
    assert len(describe().splitlines()) == len(SCRIPTS)
    assert all(line.startswith("`") for line in describe().splitlines())


def test_runs_in_a_process_of_its_own():
    with ModelServer(process=True) as running, urllib.request.urlopen(running.root + "/v1/models/steady") as reply:
        assert json.load(reply)["id"] == "steady"
