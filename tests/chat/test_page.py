"""The chat page as a browser without script meets it."""

import re

from tests.world import World, hidden


def test_the_page_greets(world: World) -> None:
    page = world.vera.page()
    assert "Good morning!" in page
    assert 'role="log"' in page


def test_a_form_without_script_ends_on_the_page_with_the_answer(world: World) -> None:
    vera = world.vera
    answer = vera.post(message="Hello?")
    assert answer.status_code == 303
    page = vera.http.get(answer.headers["Location"]).get_data(as_text=True)
    assert len(re.findall("<article", page.split("<template")[0])) == 2
    assert "Hello?" in page


def test_an_empty_message_is_refused_with_words(world: World) -> None:
    answer = world.vera.post(message="  ")
    assert answer.status_code == 422
    assert "Write a message first." in answer.get_data(as_text=True)


def test_a_long_message_is_refused_and_kept(world: World) -> None:
    answer = world.vera.post(message="x" * 8001)
    assert answer.status_code == 422
    assert "x" * 8001 in answer.get_data(as_text=True)


def test_the_limit_counts_as_the_visitor_counts(world: World) -> None:
    assert world.vera.post(message="👩‍👩‍👧" * 1600).status_code == 303
    assert world.vera.post(message="\r\n".join("x" * 4000)).status_code == 303


def test_start_fresh_leaves_the_conversation_and_load_history_returns(world: World) -> None:
    vera = world.vera
    vera.post(message="The first one")
    first = hidden(vera.page(), "session_id")
    vera.post("/new", choice="fresh")
    assert "The first one" not in vera.page()
    vera.post(message="The second one", session_id="")
    listed = vera.http.get(f"{vera.home}/new").get_data(as_text=True)
    assert "The first one" in listed
    assert "The second one" in listed
    vera.post("/new", choice="load", session_id=first)
    assert "The first one" in vera.page()


def test_history_is_searched_in_what_was_said(world: World) -> None:
    vera = world.vera
    vera.post(message="Have you rye bread?")
    vera.post("/new", choice="fresh")
    vera.post(message="100% wholemeal?", session_id="")
    found = vera.http.get(f"{vera.home}/new?q=100%25").get_data(as_text=True)
    assert "wholemeal" in found
    assert "rye bread" not in found


def test_search_knows_the_big_letters_of_every_alphabet(world: World) -> None:
    vera = world.vera
    vera.post(message="Äpfel from Ελλάδα 100%?")
    for words in ("äpfel", "ÄPFEL", "ελλάδα", "APFEL FROM", "100%?", "apple", "10%"):
        found = vera.http.get(f"{vera.home}/new", query_string={"q": words}).get_data(as_text=True)
        assert ("Äpfel from" in found) == (words in ("äpfel", "ÄPFEL", "ελλάδα", "100%?")), words


def test_long_histories_come_by_page(world: World) -> None:
    vera = world.vera
    vera.post(message="Question 0")
    session = hidden(vera.page(), "session_id")
    for number in range(1, 25):
        vera.post(message=f"Question {number}", session_id=session)
    page = vera.page()
    assert "Question 24" in page
    assert "Question 0<" not in page
    before = re.search(r"before=(\d+)", page)
    assert before
    older = vera.http.get(f"{vera.home}/older?session={session}&before={before[1]}").get_data(as_text=True)
    assert "Question 0" in older
    assert "Question 24" not in older


def test_a_history_belongs_to_its_browser(world: World) -> None:
    world.vera.post(message="Only mine")
    assert "Only mine" not in world.walt.page()


def test_the_same_page_for_a_client_that_never_was(world: World) -> None:
    assert world.app.test_client().get("/chat/nobody").status_code == 404
