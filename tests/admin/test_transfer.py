"""The operator's page for clients as a file: the plan is shown, and that is done, or nothing."""

import re
from html import unescape
from io import BytesIO

import pytest
import yaml

from chatbot.admin.transfer_forms import packed
from chatbot.db import across_tenants
from chatbot.tenants.clients import count_clients, find_client, publish_settings
from tests.admin.sending import audited, post
from tests.world import ALICE, BAKERY, CHARLIE, OTHER, ROOT, hidden

PAGE = "/admin/transfer"
ADA = "ada@new.example"
TEXT = f"""clients:
  - slug: {BAKERY}
    settings: {{greeting: "<b>Hello</b>", tone: formal}}
  - slug: {OTHER}
    name: Other Shop
  - slug: new
    name: New & Co
    identity_provider: {{issuer: "https://login.example", client_id: x}}
    people: [{{email: {ADA}, role: admin}}]
"""


@pytest.fixture
def root(world):
    return world.signed_in(ROOT)


def send(http, path, **fields):
    """Send a form; a file is given as its bytes and its name."""
    if "file" in fields:
        fields["file"] = BytesIO(fields["file"][0]), fields["file"][1]
    return post(http, path, page=PAGE, **fields)


def words(answer) -> str:
    """What people read on a page."""
    text = re.sub(r"<[^>]*>", " ", answer.get_data(as_text=True).partition("<h1>")[2])
    return " ".join(unescape(text).split())


def plan(http, text=TEXT, **fields):
    return send(http, PAGE, document=text, **fields)


def go_on(http, page, **changes):
    """Send the plan's own form."""
    text = page.get_data(as_text=True)
    fields = {name: unescape(hidden(text, name)) for name in ("packed", "kind", "fingerprint", "template")}
    return send(http, f"{PAGE}/apply", **{**fields, **changes})


def clients(world) -> int:
    with world.app.app_context(), across_tenants(writes=False):
        return count_clients()


# --- in --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"document": TEXT},
        {"document": TEXT.replace("\n", "\r\n")},
        {"file": (TEXT.encode(), "clients.yaml")},
        {"file": (TEXT.encode(), "clients")},
    ],
)
def test_a_file_is_planned_shown_and_then_done(world, root, fields):
    shown = send(root, PAGE, **fields)
    text = words(shown)
    assert shown.status_code == 200 and "New 1 Changed 1 Unchanged 1" in text and clients(world) == 2
    assert "settings.greeting Before: Good morning! From now on: <b>Hello</b>" in text
    assert "The secret of the client's identity provider" in text and f"{ADA} From now on: admin" in text
    done = go_on(root, shown)
    text = words(done)
    assert done.status_code == 200 and "Still to be entered" in text and clients(world) == 3
    assert f"{ADA} new http://127.0.0.1:5000/link/" in text
    assert "There is nothing to do" in words(plan(root))


def test_a_table_is_planned_with_a_template(world, root):
    table = b"\xef\xbb\xbfslug;name;Admin E-Mail\r\nshop-1;Shop 1;a@x.example\r\n"
    shown = send(root, PAGE, file=(table, "Mappe1.csv"), template=BAKERY)
    assert "settings.greeting From now on: Good morning!" in words(shown)
    assert go_on(root, shown).status_code == 200
    with world.app.app_context(), across_tenants(writes=False):
        assert find_client("shop-1").anonymous_chat


def test_what_changed_meanwhile_shows_the_plan_anew(world, root):
    shown = plan(root)
    with world.app.app_context():
        publish_settings(BAKERY, {"greeting": "Servus"})
    stale = go_on(root, shown)
    assert stale.status_code == 409 and clients(world) == 2
    assert "Before: Servus" in words(stale) and "Meanwhile these clients were changed" in words(stale)
    assert go_on(root, stale).status_code == 200 and clients(world) == 3


def test_applied_twice_is_once(world, root):
    shown = plan(root)
    assert go_on(root, shown).status_code == 200
    again = go_on(root, shown)
    assert again.status_code == 409 and "There is nothing to do" in words(again) and clients(world) == 3


def test_problems_are_listed_and_the_typed_text_is_still_there(world, root):
    wrong = plan(root, TEXT.replace("tone: formal", "colour: red"), template="x")
    text = wrong.get_data(as_text=True)
    assert wrong.status_code == 422 and f"Line 3: {BAKERY} settings.colour: This field is not known." in words(wrong)
    assert "colour: red" in unescape(text) and "<b>Hello" not in text and 'value="x"' in text
    assert 'aria-labelledby="problems-title"' in text and clients(world) == 2


@pytest.mark.parametrize(
    "fields, status, said",
    [
        ({}, 422, "Choose a file"),
        ({"document": "  "}, 422, "Choose a file"),
        ({"document": "clients: 5"}, 422, "stands a list"),
        ({"file": (b"\xff\xfe\x00", "x.yaml")}, 422, "not text"),
        ({"document": "slug,name\na,A\n", "template": "nobody"}, 422, "no client “nobody”"),
    ],
)
def test_what_cannot_be_read_says_so(world, root, fields, status, said):
    answer = send(root, PAGE, **fields)
    assert answer.status_code == status and said in words(answer)


def test_a_file_that_is_too_large_says_so(world, root, monkeypatch):
    for module in ("chatbot.tenants.transfer.reading", "chatbot.admin.transfer_forms"):
        monkeypatch.setattr(f"{module}.FILE_BYTES", 1 << 10)
    answer = send(root, PAGE, file=(b"#" * 1025, "x.yaml"))
    assert answer.status_code == 413 and "A file may have up to" in words(answer)


@pytest.mark.parametrize(
    "changes, status",
    [
        ({"packed": ""}, 400),
        ({"packed": "eJw="}, 400),
        ({"packed": "%%%"}, 400),
        ({"packed": packed(b"0" * (33 << 20))}, 400),
        ({"packed": packed(b"clients: 5")}, 422),
        ({"fingerprint": ""}, 409),
        ({"kind": "python"}, 400),
        ({"csrf_token": "x"}, 400),
    ],
)
def test_a_plan_that_this_page_did_not_make_is_refused(world, root, changes, status):
    assert go_on(root, plan(root), **changes).status_code == status and clients(world) == 2


def test_a_large_document_comes_through_whole(world, root):
    many = [
        {"slug": f"c{n}", "name": f"C {n}", "settings": {"instructions": f"{n} " * 3000}} for n in range(300)
    ]  # 2 MB pasted
    shown = plan(root, yaml.safe_dump({"clients": many}))
    assert shown.status_code == 200 and "New 300" in words(shown)
    assert go_on(root, shown).status_code == 200 and clients(world) == 302


# --- out -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed, slugs", [("", [BAKERY, OTHER]), (OTHER, [OTHER]), (f" {OTHER}, {BAKERY}", [BAKERY, OTHER])]
)
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_clients_are_taken_along_as_a_file(world, root, typed, slugs, form):
    file = send(root, f"{PAGE}/export", clients=typed, form=form)
    assert [client["slug"] for client in yaml.safe_load(file.data)["clients"]] == slugs
    assert re.fullmatch(rf'attachment; filename="clients-\d+-\d+\.{form}"', file.headers["Content-Disposition"])
    assert "no-store" in file.headers["Cache-Control"] and file.mimetype == f"application/{form}"
    [entry] = audited(world, "clients.exported")
    assert (entry.who, entry.detail["count"], len(entry.detail["sha256"])) == (ROOT, len(slugs), 64)


def test_chosen_clients_are_taken_along(root):
    file = send(root, f"{PAGE}/export", slug=[OTHER], form="yaml")
    assert file.data.count(b"- slug:") == 1


@pytest.mark.parametrize("fields", [{"clients": "nobody", "form": "yaml"}, {"clients": "", "form": "exe"}])
def test_what_cannot_be_taken_along_is_said(root, fields):
    answer = send(root, f"{PAGE}/export", **fields)
    assert answer.status_code == 422 and "Something is not right yet" in words(answer)


def test_what_was_taken_comes_back_unchanged(root):
    file = send(root, f"{PAGE}/export", clients="", form="yaml").data.decode()
    assert "There is nothing to do" in words(plan(root, file))


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", [ALICE, CHARLIE])
@pytest.mark.parametrize(
    "method, path", [("GET", PAGE), ("POST", PAGE), ("POST", f"{PAGE}/apply"), ("POST", f"{PAGE}/export")]
)
def test_nobody_but_the_operator_may(app, world, email, method, path):
    assert world.signed_in(email).open(path, method=method).status_code in (400, 403)
    assert app.test_client().open(path, method=method).status_code in (303, 400)


def test_without_the_forms_token_nothing_happens(world, root):
    for path in (PAGE, f"{PAGE}/apply", f"{PAGE}/export"):
        assert root.post(path, data={"document": TEXT}).status_code == 400
    assert clients(world) == 2
