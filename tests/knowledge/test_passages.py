from chatbot.knowledge.passages import SIZE, cut, with_context


def test_a_passage_knows_the_headings_it_stands_under():
    passages = cut("# Prices\nAll with tax.\n## Repairs\nA flat tyre is 18 euros.\n# Hours\nNine to six.\n")
    assert [(one.heading, one.text) for one in passages] == [
        ("Prices", "All with tax."),
        ("Prices › Repairs", "A flat tyre is 18 euros."),
        ("Hours", "Nine to six."),
    ]


def test_long_text_is_cut_between_sentences_and_nothing_is_lost():
    text = " ".join(f"Sentence number {number} says little." for number in range(200))
    passages = cut(text, is_markdown=False)
    assert len(passages) > 5
    assert all(len(one.text) <= SIZE and one.text.endswith(".") for one in passages)
    assert " ".join(one.text for one in passages) == text
    assert all(text.startswith(one.text, one.start) for one in passages)


def test_a_hash_in_code_or_in_plain_text_is_no_heading():
    code = "```\n# not a heading\n```"
    assert [(one.headings, one.text) for one in cut(code)] == [((), code)]
    assert cut("# one\ntwo", is_markdown=False)[0].text == "# one\ntwo"


def test_empty_text_has_no_passages():
    assert cut("") == cut(" \n\n") == cut("# Only a heading\n") == []


def test_the_context_says_title_and_headings_once():
    assert with_context("Prices", "Prices › Repairs", "18 euros") == "Prices › Repairs\n18 euros"
    assert with_context("Shop", "Repairs", "18 euros") == "Shop › Repairs\n18 euros"
    assert with_context("", "", "18 euros") == "18 euros"
