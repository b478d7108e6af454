"""Every page there is, with the ids of a client in it."""

from collections.abc import Iterator

from flask import Flask

from tests.isolation.chance import TABLES
from tests.isolation.places import NO_IDS

ANY_OTHER = {"version": "x", "provider_name": "none", "secret": "x", "name": "chat_rate"}
assert set(ANY_OTHER) <= set(NO_IDS)


def paths(
    app: Flask, slug: str, ids: dict[str, str], methods: tuple[str, ...] = ("GET",)
) -> Iterator[tuple[str, str, str]]:
    """(method, path, endpoint) of every route but the files', with a client's short name and its `ids` by table where it has places for them."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        values = {
            name: ANY_OTHER.get(name) or (slug if name == "slug" else ids[TABLES[name]]) for name in rule.arguments
        }
        _domain, path = rule.build(values) or ("", "/")
        for method in sorted(set(methods) & (rule.methods or set())):
            yield method, path, rule.endpoint
