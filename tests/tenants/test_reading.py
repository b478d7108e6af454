"""A file that somebody wrote: whatever is wrong with it is said with its line, quickly, and nothing comes to life."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.errors import TooLarge
from chatbot.tenants.transfer.json_text import read_json
from chatbot.tenants.transfer.reading import FILE_BYTES, Unusable, read
from chatbot.tenants.transfer.writing import write
from chatbot.tenants.transfer.yaml_text import read_yaml

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def _inside(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def told(text: str | bytes, form: str | None = None) -> list[str]:
    """What is said of a text that can't be used."""
    with pytest.raises(Unusable) as refused:
        read(text if isinstance(text, bytes) else text.encode(), form)
    return [str(problem) for problem in refused.value.problems]


def values(text: str | bytes) -> list[dict[str, Any]]:
    return [entry.values for entry in read(text if isinstance(text, bytes) else text.encode()).entries]


HEAD = "clients:\n- slug: a\n  name: A\n"


@pytest.mark.parametrize(
    "text, line, words",
    [
        (HEAD + "  colour: red", 4, "a colour: This field is not known"),
        (HEAD + "  id: 01m7zz\n  tenant_id: x", 4, "a id: This field is not known"),
        (HEAD + "  settings:\n    greeting: x\n    foo: null", 6, "settings.foo"),
        (HEAD + "  settings:\n    look:\n      colour: red", 6, "settings.look.colour"),
        (HEAD + "  limits:\n    messages_per_day: many", 5, "limits.messages_per_day"),
        (HEAD + "  limits:\n    money_per_month: .nan", 5, "limits.money_per_month"),
        (HEAD + "  limits:\n    chat_rate: often", 5, "limits.chat_rate"),
        (HEAD + "  time_zone: Mars", 4, "time_zone"),
        (HEAD + "  sites: ['javascript:alert(1)']", 4, "sites.0"),
        (HEAD + "  settings: 5", 4, "Fields are expected"),
        (HEAD + "  settings:\n    endpoint:\n      key: sk-123", 6, "A secret is in no document"),
        (HEAD + "  settings:\n    endpoint: {base_url: 'https://u:p@x.example'}", 5, "A password has no place"),
        (HEAD + "  identity_provider: {issuer: 'https://x.example', client_id: x, client_secret: s}", 4, "A secret"),
        (HEAD + "  identity_provider: {issuer: 'http://x.example', client_id: x}", 4, "issuer"),
        (
            HEAD + "  identity_provider: {issuer: 'https://x.example', client_id: x, domains: [gmail.com]}",
            4,
            "everybody's",
        ),
        (HEAD + "  knowledge:\n  - url: file:///etc/passwd", 5, "knowledge.0.url"),
        (HEAD + "  knowledge:\n  - {file: ../../etc/passwd}", 5, "knowledge.0"),
        (HEAD + "  knowledge:\n  - {question: a, answer: b}\n  - {question: A, answer: c}", 6, "here twice"),
        (HEAD + "  people:\n  - {email: a@x.example, role: owner}", 5, "role"),
        (
            HEAD + "  people:\n  - {email: a@x.example, role: user}\n  - {email: A@x.example, role: staff}",
            6,
            "here twice",
        ),
        (HEAD + "- slug: a", 4, "here twice"),
        (HEAD + "- slug: B!", 4, "letters a to z"),
        (HEAD + "- name: x", 4, "slug: This is missing"),
        (HEAD + "- 5", 4, "written as fields"),
        (HEAD + "  name: B", 4, "“name” is here twice"),
        (HEAD + "  template: !!python/object/apply:os.system [id]", 4, "os.system"),
        (HEAD + "  <<: *nobody", 4, "nobody"),
        (HEAD + "---\nclients: []", 4, "second document"),
        (HEAD + "\t- x", 4, "no YAML"),
        (HEAD + '  template: "\\0"', 4, "no text"),
        (HEAD + "more: 1", 4, "“more” is not known"),
        ("- slug: a", 1, "begins with “clients:”"),
        ("", 1, "begins with “clients:”"),
        ("clients: 5", 1, "stands a list"),
        ('{"clients": [\n{"slug": "a",\n"name": NaN}]}', 3, "no JSON"),
        ('{"clients": [\n{"slug": "a",\n"slug": "b"}]}', 3, "here twice"),
        ('{"clients": [\n{"slug": "a",\n"name": "\\ud800"}]}', 3, "no text"),
        ('{"clients": [\n{"slug": "a", "limits": {"messages_per_day": 1e999}}]}', 2, "too large"),
        ('{"clients": [\n', 2, "too early"),
        (b"clients:\n- slug: \xff", 2, "not text in UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str | bytes, line: int, words: str) -> None:
    problem = told(text)[0]
    assert problem.startswith(f"Line {line}: ") and words in problem


def test_all_problems_are_told_at_once_and_at_most_a_hundred() -> None:
    text = "clients:\n" + "".join(f"- {{slug: c{n}, status: x}}\n" for n in range(500))
    with pytest.raises(Unusable) as refused:
        read(text.encode())
    assert (len(refused.value.problems), refused.value.count) == (100, 500)
    assert "500 things" in str(refused.value.detail)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "clients: " + "{a: " * 100_000,
        "\n".join(" " * depth + "a:" for depth in range(3000)),
        '{"clients": ' + "[" * 1_000_000,
        "clients:\n- &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"- &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "clients: &a [*a]",
        "clients:\n" + "- {slug: x, name: y}\n" * 100_000,
        '{"clients": [' + ",".join(['{"slug": "x"}'] * 100_000) + "]}",
        "slug,name\n" + "a,b\n" * 100_000,
        "clients:\n- slug: a\n  sites: [" + "x," * 1_500_000 + "]",
    ],
    ids=["flow", "mappings", "block", "json", "aliases", "itself", "rows", "json-rows", "csv-rows", "values"],
)  # fmt: skip
def test_what_is_too_much_is_refused_soon(text: str) -> None:
    began = time.monotonic()
    assert told(text)[0].startswith("Line ")
    assert time.monotonic() - began < 30


def test_a_file_that_is_too_large_is_not_looked_at() -> None:
    with pytest.raises(TooLarge):
        read(b"#" * (FILE_BYTES + 1))


def test_words_are_the_words_they_look_like() -> None:
    text = HEAD + "  settings: {language: no, greeting: 9:30, tone: 0123, refusal: 1e3, unknown: '5'}"
    assert values(text)[0]["settings"] == {
        "language": "no", "greeting": "9:30", "tone": "0123", "refusal": "1e3", "unknown": "5"
    }  # fmt: skip


def test_an_alias_means_what_it_names() -> None:
    text = "clients:\n- slug: a\n  sites: &s [https://a.example]\n- slug: b\n  sites: *s\n"
    assert [client["sites"] for client in values(text)] == [["https://a.example"]] * 2


JSON_THAT_IS_NONE = '{ {"a"} {"a":} {"a":1,} [1,] [,] [1;2] {"a"\x0b1} {1:2} {\'a\':1} [01] [1.] [+1] "a\nb" [tru] ] {"a":1}} nul [1]x "\\x"'


@pytest.mark.parametrize("text", JSON_THAT_IS_NONE.split(" "))
def test_what_is_no_json_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        json.loads(text)
    assert "no JSON" in told(text, "json")[0]


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(-1e6, 1e6).map(lambda n: round(n, 3))
    | plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=4),
    max_leaves=12,
)
freely = settings(max_examples=300, deadline=None)


@freely
@given(tree=trees)
def test_json_is_read_as_the_library_reads_it(tree: Any) -> None:
    for written in (json.dumps(tree), json.dumps(tree, indent=1, ensure_ascii=False)):
        assert read_json(written) == json.loads(written)


@freely
@given(tree=trees)
def test_what_is_written_is_read_again(tree: Any) -> None:
    wrapped = {"clients": tree}
    assert read_yaml(write(wrapped, "yaml").decode()) == wrapped
    assert read_json(write(wrapped, "json").decode()) == wrapped


# --- tables ----------------------------------------------------------------------------------------------------------

ADA = {"slug": "a", "name": "Bäcker, Ä", "people": [{"email": "ada@x.example", "role": "admin"}]}


@pytest.mark.parametrize(
    "text",
    [
        'slug,name,admin_email\na,"Bäcker, Ä",ada@x.example\n',
        'Slug;Name;Admin E-Mail\r\na;"Bäcker, Ä";ada@x.example;\r\n;;\r\n',
        '\ufeffslug\tname\tADMIN EMAIL\na\t"Bäcker, Ä"\tada@x.example\t\n',
        'sep=|\n"slug"|"name"|"admin email"\n"a"|"Bäcker, Ä"|"Ada@X.example"',
        'slug,name,admin_email,template\r\ra," Bäcker, Ä ",ada@x.example',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_of_any_kind_is_read(text: str, encoding: str) -> None:
    assert values(text.lstrip("\ufeff" if encoding == "utf-16" else "").encode(encoding)) == [ADA]


def test_every_column_says_a_field() -> None:
    text = (
        "slug;status;anonymous_chat;requires_second_factor;time_zone;sites;messages per day;tokens_per_month;"
        "Money per month;chat_rate;language;greeting;template\n"
        "a;suspended;yes;no;Europe/Berlin;https://a.example https://b.example;5;6;20,50;5 per minute;de;Hi;other\n"
    )
    assert values(text)[0] == {
        "slug": "a", "status": "suspended", "anonymous_chat": True, "requires_second_factor": False,
        "time_zone": "Europe/Berlin", "sites": ["https://a.example", "https://b.example"],
        "limits": {"messages_per_day": 5, "tokens_per_month": 6, "money_per_month": "20.50", "chat_rate": "5 per minute"},
        "settings": {"language": "de", "greeting": "Hi"}, "template": "other",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text, line, words",
    [
        ("slug,colour\na,red", 1, "no column “colour”"),
        ("slug,name,Name\na,b,c", 1, "here twice"),
        ("name,status\nA,active", 1, "one of them is “slug”"),
        ("slug,name\na,A\nb,B,more", 3, "more cells"),
        ('slug,name\na,"A"x\n', 2, "can't be read"),
        ('slug,name\na,"A\nA\nA"\nb!,B', 2, "a name: This is one line"),
        ("slug,name\na,A\nb!,B", 3, "letters a to z"),
        ("slug,name,admin_email\na,A,ada", 2, "no e-mail"),
        ("slug,name\na,A\na,B", 3, "here twice"),
        ("slug,name\na,B\0", 2, "no text"),
    ],
)
def test_what_is_wrong_in_a_table_is_said_with_its_line(text: str, line: int, words: str) -> None:
    problem = told(text)[0]
    assert problem.startswith(f"Line {line}: ") and words in problem


def test_yaml_is_written_for_people() -> None:
    written = write(
        {"clients": [{"slug": "a", "settings": {"instructions": "One 🦁.\nTwo.\n", "greeting": "Grüß Gott 🦁"}}]}
    )
    assert written.decode() == (
        "clients:\n- slug: a\n  settings:\n    instructions: |\n      One 🦁.\n      Two.\n    greeting: Grüß Gott 🦁\n"
    )
    assert yaml.safe_load(written)
