"""`/api/client/knowledge` and `/api/client/search`, as a program with a key sees them."""

import pytest

from chatbot.db import across_tenants
from chatbot.jobs import run_next
from chatbot.tenants.clients import find_client
from chatbot.tenants.keys import create_key
from tests.embedders import Hashed, use
from tests.world import BAKERY, OTHER

PATH = "/api/client/knowledge"


@pytest.fixture
def api(app, client, world):
    """`api(method, path, slug=…, …)`: one call with the key of a client."""
    use(app, Hashed())

    def call(method, path=PATH, slug=BAKERY, **given):
        return client.open(path, method=method, headers=world.key(slug), **given)

    return call


@pytest.fixture
def read(app):
    def work():
        with app.app_context():
            while run_next("test"):
                pass

    return work


def upload(name="bread.md", content=b"Our rye loaf costs 4 euros.", field="file"):
    head = (
        f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: text/plain\r\n\r\n'
    )
    return {"data": head.encode() + content + b"\r\n--b--\r\n", "content_type": "multipart/form-data; boundary=b"}


def test_file_is_added_read_and_found(api, read):
    added = api("POST", **upload())
    assert (added.status_code, added.json["status"]) == (202, "waiting")
    path = f"{PATH}/{added.json['id']}"
    assert api("GET", path).json == {"id": added.json["id"], "status": "waiting", "passages": 0}
    read()
    assert api("GET", path).json == {"id": added.json["id"], "status": "ready", "passages": 1}
    (found,) = api("GET", "/api/client/search?q=rye+loaf").json["passages"]
    assert found.pop("score") > 0
    assert found == {"text": "Our rye loaf costs 4 euros.", "title": "bread", "source_id": added.json["id"]}


def test_pair_is_added_and_found_with_its_question(api, read):
    api("POST", json={"question": "Do you deliver?", "answer": "On Fridays."})
    read()
    (found,) = api("GET", "/api/client/search?q=do+you+deliver").json["passages"]
    assert (found["title"], found["text"]) == ("Do you deliver?", "On Fridays.")


def test_passage_of_a_page_has_its_address(api, read):
    api("POST", **upload(content=b"---\ntitle: Bread\nurl: https://bakery.example/bread\n---\nOur rye loaf."))
    read()
    (found,) = api("GET", "/api/client/search?q=rye+loaf").json["passages"]
    assert (found["title"], found["url"]) == ("Bread", "https://bakery.example/bread")


def test_what_cannot_be_read_says_why(api, read):
    added = api("POST", **upload("pairs.json", b"{")).json["id"]
    read()
    answer = api("GET", f"{PATH}/{added}").json
    assert (answer["status"], answer["reason"]) == ("failed", "This is not JSON: look at line 1.")


@pytest.mark.parametrize(
    "given, status, field",
    [
        ({"json": {"question": "q", "answer": "a", "more": 1}}, 422, "more"),
        ({"json": {"question": 1, "answer": "a"}}, 422, "question"),
        ({"json": {"question": "q"}}, 422, "answer"),
        ({"json": {}}, 422, "question"),
        ({"json": {"url": "https://bakery.example/menu"}}, 422, "url"),
        ({"data": "[", "content_type": "application/json"}, 400, None),
        ({"data": "text", "content_type": "text/plain"}, 415, None),
        (upload("logo.png"), 415, None),
        (upload("zero.md", b"\0"), 422, "file"),
        (upload("bread.md", b"a" * (5 * 1024 * 1024 + 1)), 413, None),
        (upload("bread.md", b"a" * (7 * 1024 * 1024)), 413, None),
        (upload(field="document"), 422, "document"),
        ({"data": {}, "content_type": "multipart/form-data; boundary=x"}, 422, "file"),
    ],
)
def test_what_is_refused(api, given, status, field):
    answer = api("POST", **given)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert field is None or field in answer.json["errors"]
    assert api("GET").json == {"sources": [], "next_cursor": None}


def test_list_goes_by_page(api):
    for number in range(3):
        api("POST", json={"question": f"q{number}", "answer": "a"})
    first = api("GET", f"{PATH}?limit=2").json
    second = api("GET", f"{PATH}?limit=2&cursor={first['next_cursor']}").json
    titles = [source["title"] for source in first["sources"] + second["sources"]]
    assert (sorted(titles), second["next_cursor"]) == (["q0", "q1", "q2"], None)
    assert {"id", "kind", "name", "status", "passages", "created_at"} <= first["sources"][0].keys()


@pytest.mark.parametrize(
    "query, status", [("limit=0", 200), ("limit=9999", 200), ("limit=x", 422), ("cursor=%00", 422)]
)
def test_list_with_odd_pages(api, query, status):
    assert api("GET", f"{PATH}?{query}").status_code == status


@pytest.mark.parametrize(
    "query, status", [("", 422), ("q=", 422), ("q=" + "x" * 2001, 422), ("q=%00", 200), ("q=a&limit=x", 422)]
)
def test_search_with_odd_questions(api, read, query, status):
    api("POST", **upload())
    read()
    assert api("GET", f"/api/client/search?{query}").status_code == status


def test_deleted_source_is_gone_from_every_place(api, read):
    added = api("POST", **upload()).json["id"]
    read()
    assert api("DELETE", f"{PATH}/{added}").status_code == 204
    assert api("GET", f"{PATH}/{added}").status_code == 404
    assert api("DELETE", f"{PATH}/{added}").status_code == 404
    assert api("GET", "/api/client/search?q=rye+loaf").json == {"passages": []}


def test_sources_of_another_client_are_not_there(api, read):
    path = f"{PATH}/{api('POST', **upload()).json['id']}"
    read()
    assert api("GET", path).status_code == 200
    assert [api(method, path, slug=OTHER).status_code for method in ("GET", "DELETE")] == [404, 404]
    assert api("GET", slug=OTHER).json["sources"] == []
    assert api("GET", "/api/client/search?q=rye+loaf", slug=OTHER).json == {"passages": []}
    assert api("GET", path).status_code == 200


CALLS = [
    ("POST", PATH),
    ("GET", PATH),
    ("GET", f"{PATH}/x"),
    ("DELETE", f"{PATH}/x"),
    ("GET", "/api/client/search?q=a"),
]


@pytest.mark.parametrize("method, path", CALLS)
def test_without_a_key_nothing(client, world, method, path):
    assert client.open(path, method=method).status_code == 401


@pytest.mark.parametrize("method, path", CALLS)
def test_a_key_for_chat_alone_may_not(app, client, world, method, path):
    with app.app_context(), across_tenants():
        key = create_key(find_client(BAKERY), "chat", ["chat"])
    assert client.open(path, method=method, headers={"Authorization": f"Bearer {key}"}).status_code == 403
