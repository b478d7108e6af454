"""Tenants stay apart: what a tenant's session lets through, what it refuses, and the database's own wall behind it."""

import importlib
import operator
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import (
    BinaryExpression,
    Delete,
    Engine,
    MetaData,
    Select,
    Table,
    TextClause,
    Update,
    create_engine,
    exists,
    func,
    insert,
    inspect,
    select,
    text,
    true,
    union,
    update,
)
from sqlalchemy import delete as delete_
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.orm import Mapped, aliased, joinedload, relationship, selectinload
from sqlalchemy.sql.visitors import iterate

import chatbot
from chatbot.accounts.models import Account, Identity, OneTimeLink, Passkey, RecoveryCode, SignIn
from chatbot.audit import AuditEntry
from chatbot.chat.models import Conversation, Message, Turn, Visitor
from chatbot.db import across_tenants, as_tenant, db, read, write
from chatbot.jobs import Job
from chatbot.knowledge.models import Source
from chatbot.tenancy import Base, TenancyError, TenantModel, new_id, table_of
from chatbot.tenants.clients import create_client, publish_settings
from chatbot.tenants.models import ApiKey, ModelEndpoint, PlatformAnswer, PlatformSetting, SettingsVersion, Tenant
from chatbot.tenants.published import published
from tests.rows import contents, insert_one_of_each, models, platform_models, row_of, tenant_models, tenant_tables

PLATFORM = {
    Account, ApiKey, AuditEntry, Identity, Job, ModelEndpoint, OneTimeLink, Passkey, PlatformAnswer,
    PlatformSetting, RecoveryCode, SignIn, Tenant,
}  # fmt: skip

# Columns that hold an id without a key to it: what they name is found through the tenant-bound session, or is gone by then.
VALUES = {
    ("visitor", "conversation_id"): "the current one; a key back to it would be a circle",
    ("message", "turn_id"): "turn and message name each other; both hang on the conversation",
    ("turn", "visitor_id"): "the conversation's own visitor",
    ("turn", "question_id"): "turn and message name each other",
    ("turn", "answer_id"): "turn and message name each other",
    ("hold", "turn_id"): "released by whoever ends the turn",
    ("identity_provider", "client_id"): "another system's name for us",
    ("ledger_entry", "turn_id"): "the bill stays when the conversation is deleted",
}

Ids = dict[str, str]


@pytest.fixture
def two(app: Flask) -> Iterator[tuple[Ids, Ids]]:
    """Two clients with one row in every table; the ids of each by table."""
    with app.app_context():
        with across_tenants() as session:
            ids = insert_one_of_each(session.connection(), "own"), insert_one_of_each(session.connection(), "foreign")
        yield ids


@pytest.fixture
def own(two: tuple[Ids, Ids]) -> Ids:
    return two[0]


@pytest.fixture
def foreign(two: tuple[Ids, Ids]) -> Ids:
    return two[1]


def everything() -> dict[str, Any]:
    with across_tenants(writes=False) as session:
        return {table.name: contents(session.connection(), table) for table in Base.metadata.sorted_tables}


def named(models: list[Any]) -> list[Any]:
    return [pytest.param(model, id=model.__tablename__) for model in models]


# --- the models -----------------------------------------------------------------------------------------------------


def test_every_model_is_a_tenants_or_on_the_short_list() -> None:
    assert set(platform_models()) == PLATFORM
    assert set(tenant_models()) | PLATFORM == set(models())
    assert not set(tenant_models()) & PLATFORM


@pytest.mark.parametrize("model", named(tenant_models()))
def test_references_are_composite(model: type[TenantModel]) -> None:
    """(tenant_id, id) of the parent; or on the list of plain values, with a reason."""
    of_tenants = set(tenant_tables())
    for key in table_of(model).foreign_key_constraints:
        parent = key.referred_table.name
        if parent in of_tenants:
            assert key.column_keys[0] == "tenant_id" and len(key.column_keys) == 2, f"{model} → {parent}"
            assert key.ondelete == "CASCADE"
    keyed = {column for key in table_of(model).foreign_key_constraints for column in key.column_keys}
    loose = {c.name for c in table_of(model).columns if c.name.endswith("_id") and c.name not in keyed}
    assert loose == {column for table, column in VALUES if table == model.__tablename__}


def parents(model: type[Any]) -> list[tuple[str, str]]:
    return [
        (key.column_keys[1], key.referred_table.name)
        for key in table_of(model).foreign_key_constraints
        if len(key.column_keys) == 2
    ]


def test_an_own_row_cannot_point_at_a_foreign_parent(own: Ids, foreign: Ids) -> None:
    for model in tenant_models():
        for column, parent in parents(model):
            values = row_of(table_of(model), "x", own | {model.__tablename__: new_id()}) | {column: foreign[parent]}
            with across_tenants() as session, pytest.raises(IntegrityError):
                session.execute(insert(table_of(model)).values(values))
            changed = update(table_of(model)).where(table_of(model).c.id == own[model.__tablename__])
            with across_tenants() as session, pytest.raises(IntegrityError):
                session.execute(changed.values({column: foreign[parent]}))


# --- a session without a tenant -------------------------------------------------------------------------------------


def test_without_a_tenant_tenant_rows_are_refused(own: Ids) -> None:
    session = db.session()
    for model in tenant_models():
        for asked in (
            select(model),
            select(model.id),
            select(func.count(model.id)),
            select(aliased(model)),
            select(Tenant.slug).where(exists(select(model.id))),
            select(Tenant.slug).join(model, model.tenant_id == Tenant.id),
            select(Tenant.slug).order_by(model.id),
            select(Tenant.slug, select(func.count(model.id)).scalar_subquery()),
            select(Tenant.slug).where(Tenant.id.in_(select(table_of(model).c.tenant_id))),
            update(model).values(tenant_id=own["tenant"]),
            delete_(model),
        ):
            with pytest.raises(TenancyError):
                session.execute(asked)
        with pytest.raises(TenancyError):
            session.get(model, own[model.__tablename__])
        row = model(**row_of(table_of(model), "x", own))
        session.add(row)
        with pytest.raises(TenancyError):
            session.flush()
        session.expunge(row)


def test_without_a_tenant_platform_rows_are_found(own: Ids) -> None:
    assert {tenant.name for tenant in db.session.scalars(select(Tenant))} == {
        "CNRY-own-tenant-name",
        "CNRY-foreign-tenant-name",
    }
    assert db.session.get(ApiKey, own["api_key"])


# --- what a tenant's session reads ----------------------------------------------------------------------------------

V = Visitor.subject
OTHER = aliased(Visitor)
READS: dict[str, Callable[[], Any]] = {
    "select": lambda: select(V),
    "aliased": lambda: select(OTHER.subject),
    "join": lambda: select(V).join(Conversation, Conversation.visitor_id == Visitor.id),
    "join aliased": lambda: select(OTHER.subject).join(Visitor, true()),
    "outer join": lambda: select(V).select_from(Tenant).join(Visitor, Visitor.tenant_id == Tenant.id),
    "in where": lambda: select(V).where(Conversation.visitor_id == Visitor.id),
    "subquery": lambda: select(select(V).subquery()),
    "scalar subquery": lambda: select(select(func.min(V)).scalar_subquery()),
    "cte": lambda: select(select(V).cte()),
    "union": lambda: union(select(V), select(V)),
    "in union": lambda: select(V).where(V.in_(union(select(V), select(V)))),
    "aliased subquery": lambda: select(aliased(Visitor, select(Visitor).subquery()).subject),
    "function": lambda: select(func.min(V)),
    "grouped": lambda: select(V).group_by(V).having(func.count(Visitor.id) > 0),
    "for update": lambda: select(V).with_for_update(),
}


def test_reads_are_scoped(own: Ids) -> None:
    with as_tenant(own["tenant"]) as session:
        seen = {name: {row[0] for row in session.execute(asked())} for name, asked in READS.items()}
    assert seen == dict.fromkeys(READS, {"CNRY-own-visitor-subject"})


def test_counts_are_scoped(own: Ids) -> None:
    with as_tenant(own["tenant"], writes=False) as session:
        for asked in (
            select(func.count(Visitor.id)),
            select(func.count()).select_from(Visitor),
            select(func.count()).select_from(select(Visitor.id).subquery()),
            select(func.count()).where(Visitor.subject.startswith("CNRY")),
            select(select(func.count(Visitor.id)).scalar_subquery()),
        ):
            assert session.scalar(asked) == 1
        assert session.query(Visitor).count() == 1


def test_existence_is_scoped(own: Ids, foreign: Ids) -> None:
    there = "CNRY-foreign-visitor-subject"
    with as_tenant(own["tenant"], writes=False) as session:
        for condition in (
            exists(select(Visitor.id).where(V == there)),
            exists().where(V == there),
            Tenant.id.in_(select(Visitor.tenant_id).where(V == there)),
        ):
            assert session.scalars(select(Tenant.slug).where(condition)).all() == []


def changed_by(session: Any, statement: Any) -> int:
    return int(session.execute(statement).rowcount)


def test_every_model_is_scoped(own: Ids, foreign: Ids) -> None:
    before = everything()
    owned: list[Any] = [ApiKey, Job, *tenant_models()]
    for model in reversed(owned):
        table = model.__tablename__
        with as_tenant(own["tenant"]) as session:
            assert session.scalars(select(model.id)).all() == [own[table]]
            assert session.get(model, own[table]) and session.get(model, foreign[table]) is None
            assert session.scalars(select(model).where(model.id == foreign[table])).all() == []
            assert changed_by(session, delete_(model).where(model.id == foreign[table])) == 0
            session.expunge_all()
            assert changed_by(session, delete_(model)) == 1
    left = everything()
    for model in owned:
        table = model.__tablename__
        assert left[table] == [row for row in before[table] if row["id"] == foreign[table]]


def test_updates_are_scoped(own: Ids, foreign: Ids) -> None:
    with as_tenant(own["tenant"]) as session:
        assert changed_by(session, update(Visitor).values(subject="changed")) == 1
        assert changed_by(session, update(Visitor).where(Visitor.id == foreign["visitor"]).values(subject="x")) == 0
        inner = select(func.max(V)).scalar_subquery()
        session.execute(update(Conversation).values(title=inner))
    with across_tenants(writes=False) as session:
        assert session.get(Visitor, foreign["visitor"]).subject == "CNRY-foreign-visitor-subject"
        assert session.get(Conversation, own["conversation"]).title == "changed"


def test_deferred_and_expired_columns_are_scoped(own: Ids, foreign: Ids) -> None:
    with as_tenant(own["tenant"]) as session:
        source = session.get(Source, own["source"])
        assert source.content == b"CNRY-own-source-content"
        session.expire(source)
        assert source.content == b"CNRY-own-source-content"


# Relationships: none of the product's models has one yet, so these two stand for those to come.


class Shelves(TenantModel):
    __abstract__ = True
    metadata = MetaData()


class Book(Shelves):
    __tablename__ = "test_book"
    title: Mapped[str]
    shelf_id: Mapped[str]


class Shelf(Shelves):
    __tablename__ = "test_shelf"
    books: Mapped[list[Book]] = relationship(primaryjoin="Shelf.id == foreign(Book.shelf_id)", viewonly=True)


# The tenants' own table, as far as the keys of these two need it.
Shelves.metadata._add_table("tenant", None, Tenant.__table__)  # type: ignore[arg-type]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_relationships_are_scoped(two: tuple[Ids, Ids]) -> None:
    """A book of a foreign client that points at an own shelf: what no key refuses, the session doesn't show."""
    own, foreign = two
    for table in (table_of(Book), table_of(Shelf)):
        table.create(db.engine)
    shelf = new_id()
    with across_tenants() as session:
        session.add(Shelf(id=shelf, tenant_id=own["tenant"]))
        session.add_all(Book(tenant_id=ids["tenant"], title=ids["tenant"], shelf_id=shelf) for ids in two)
    for options in ([], [joinedload(Shelf.books)], [selectinload(Shelf.books)]):
        with as_tenant(own["tenant"], writes=False) as session:
            [found] = session.scalars(select(Shelf).options(*options)).unique()
            assert [book.title for book in found.books] == [own["tenant"]]
            assert session.scalars(select(Shelf).join(Shelf.books).where(Book.title == foreign["tenant"])).all() == []


# --- what a tenant's session refuses --------------------------------------------------------------------------------

T = table_of(Visitor)
REFUSED: dict[str, Callable[[], Any]] = {
    "core select": lambda: select(T),
    "core update": lambda: update(T).values(subject="x"),
    "core delete": lambda: delete_(T),
    "core in a subquery": lambda: select(Tenant.slug).where(Tenant.id.in_(select(T.c.tenant_id))),
    "core beside a model": lambda: select(Tenant.slug, T.c.subject),
    "core alias": lambda: select(Tenant.slug, T.alias().c.subject),
    "core join": lambda: select(Tenant.slug).join(T, true()),
    "core join, counted": lambda: select(Tenant.slug, func.count()).join(T, true()).group_by(Tenant.slug),
    "core count in a subquery": lambda: select(Tenant.slug, select(func.count()).select_from(T).scalar_subquery()),
    "core in an update": lambda: update(Visitor).values(subject=select(func.max(T.c.subject)).scalar_subquery()),
    "text": lambda: text("SELECT subject FROM visitor"),
    "text as columns": lambda: text("SELECT subject FROM visitor").columns(Visitor.subject),
    "from_statement": lambda: select(Visitor).from_statement(select(T)),
    "from text": lambda: select(Visitor).from_statement(text("SELECT * FROM visitor")),
    "insert": lambda: insert(Visitor).values(subject="x"),
    "insert from select": lambda: insert(Visitor).from_select(["subject"], select(Visitor.subject)),
    "update with a second model": lambda: update(Conversation).values(title=Visitor.subject),
    "update by a second model": lambda: update(Tenant).where(Visitor.subject == "x").values(name="x"),
    "update by an alias": lambda: update(Visitor).where(OTHER.subject == "x").values(subject="x"),
    "delete by a second model": lambda: delete_(Message).where(Message.conversation_id == Conversation.id),
    "a new owner": lambda: update(SettingsVersion).values(tenant_id="x"),
    "a new owner, by column": lambda: update(SettingsVersion).values({SettingsVersion.tenant_id: "x"}),
}


def is_refused(session: Any, statement: Any) -> bool:
    try:
        session.execute(statement)
    except TenancyError:
        return True
    return False


def test_what_the_scope_cannot_reach_is_refused(own: Ids) -> None:
    with as_tenant(own["tenant"]) as session:
        assert [name for name, make in REFUSED.items() if not is_refused(session, make())] == []


def test_upserts_are_refused(own: Ids) -> None:
    dialects = {"sqlite": "sqlalchemy.dialects.sqlite", "postgresql": "sqlalchemy.dialects.postgresql"}
    module = __import__(dialects[db.engine.dialect.name], fromlist=["insert"])
    with as_tenant(own["tenant"]) as session, pytest.raises(TenancyError):
        session.execute(module.insert(Visitor).values(subject="x").on_conflict_do_nothing())


def test_bulk_writes_are_refused(own: Ids, foreign: Ids) -> None:
    stolen = {"id": foreign["visitor"], "subject": "stolen"}
    with as_tenant(own["tenant"]) as session:
        for attempt in (
            lambda: session.bulk_insert_mappings(Visitor, [stolen]),
            lambda: session.bulk_update_mappings(Visitor, [stolen]),
            lambda: session.bulk_save_objects([Visitor(**stolen)]),
            lambda: session.execute(update(Visitor), [stolen]),
            lambda: session.execute(insert(Visitor), [stolen]),
            lambda: session.execute(update(SettingsVersion), {"tenant_id": foreign["tenant"]}),
        ):
            with pytest.raises(TenancyError):
                attempt()


def test_a_session_that_reads_writes_nothing(own: Ids) -> None:
    with pytest.raises(TenancyError), as_tenant(own["tenant"], writes=False) as session:
        session.add(Visitor(subject="new"))
        session.flush()
    for write_ in (update(Visitor).values(subject="x"), delete_(Visitor)):
        with as_tenant(own["tenant"], writes=False) as session, pytest.raises(TenancyError):
            session.execute(write_)
    with pytest.raises(TenancyError), across_tenants(writes=False) as session:
        session.execute(delete_(Tenant))


# --- what a tenant's session writes ---------------------------------------------------------------------------------


def test_new_rows_are_stamped(own: Ids) -> None:
    with as_tenant(own["tenant"]) as session:
        visitor = Visitor(subject="new")
        session.add(visitor)
        session.flush()
        assert visitor.tenant_id == own["tenant"]


def fetched(model: type[Any], id_: str) -> Any:
    """A row of anybody's, detached."""
    with across_tenants(writes=False) as session:
        row = session.get(model, id_)
        session.expunge(row)
    return row


def changed(row: Any) -> Any:
    row.subject = "changed"
    return row


def given_away(row: Any, tenant_id: str) -> Any:
    row.tenant_id = tenant_id
    return row


WRITES: dict[str, Callable[[Any, Ids, Ids], Any]] = {
    "a new row of another's": lambda s, own, other: s.add(Visitor(tenant_id=other["tenant"], subject="x")),
    "a detached row of another's": lambda s, own, other: s.add(changed(fetched(Visitor, other["visitor"]))),
    "a detached row of another's, made own": lambda s, own, other: s.add(
        given_away(fetched(SettingsVersion, other["settings_version"]), own["tenant"])
    ),
    "another's row, merged": lambda s, own, other: s.merge(changed(fetched(Visitor, other["visitor"]))),
    "another's row, deleted": lambda s, own, other: s.delete(fetched(Visitor, other["visitor"])),
    "an own row, given away": lambda s, own, other: given_away(
        s.get(SettingsVersion, own["settings_version"]), other["tenant"]
    ),
    "another's key": lambda s, own, other: s.add(
        ApiKey(**row_of(table_of(ApiKey), "x", other | {"api_key": new_id()}))
    ),
    "a platform key": lambda s, own, other: s.add(
        ApiKey(**row_of(table_of(ApiKey), "x", own | {"api_key": new_id()}) | {"tenant_id": None})
    ),
    "another's job": lambda s, own, other: s.add(Job(kind="x", tenant_id=other["tenant"])),
    "another's key, changed": lambda s, own, other: s.add(given_away(fetched(ApiKey, other["api_key"]), own["tenant"])),
}


def test_writes_are_checked(own: Ids, foreign: Ids) -> None:
    before = everything()
    for attempt in WRITES.values():
        with pytest.raises(TenancyError), as_tenant(own["tenant"]) as session:
            attempt(session, own, foreign)
            session.flush()
        assert everything() == before


def test_an_expired_foreign_row_is_not_there(own: Ids, foreign: Ids) -> None:
    with across_tenants(writes=False) as session:
        row = session.get(Visitor, foreign["visitor"])
        session.expire(row)
        session.expunge(row)
    before = everything()
    with pytest.raises(Exception, match="not present|tenant"), as_tenant(own["tenant"]) as session:
        session.add(row)
        row.subject = "changed"
        session.flush()
    assert everything() == before


# --- one session, one tenant ----------------------------------------------------------------------------------------


def test_a_session_cannot_switch(own: Ids, foreign: Ids) -> None:
    with as_tenant(own["tenant"], writes=False) as session:
        session.enter(own["tenant"])
        for other in (foreign["tenant"], "*"):
            with pytest.raises(TenancyError):
                session.enter(other)
        session.rollback()
        with pytest.raises(TenancyError):
            session.enter(foreign["tenant"])
    with across_tenants(writes=False) as session, pytest.raises(TenancyError):
        session.enter(own["tenant"])


@pytest.mark.parametrize("nobody", ["", None, "*"])
def test_as_tenant_needs_a_tenant(nobody: Any, app: Flask) -> None:
    with app.app_context(), pytest.raises(TenancyError), as_tenant(nobody):
        pass


def test_as_tenant_inside_another_is_a_session_of_its_own(own: Ids, foreign: Ids) -> None:
    with as_tenant(own["tenant"], writes=False) as outer:
        assert outer.scalars(select(Visitor.id)).all() == [own["visitor"]]
        with as_tenant(foreign["tenant"]) as inner:
            assert db.session() is inner and inner is not outer
            assert inner.scalars(select(Visitor.id)).all() == [foreign["visitor"]]
        assert db.session() is outer and outer.tenant_id == own["tenant"]
        assert outer.scalars(select(Visitor.id)).all() == [own["visitor"]]


def test_as_tenant_inside_a_request_leaves_the_request_its_own(app: Flask, own: Ids, foreign: Ids) -> None:
    with app.test_request_context():
        db.session().info["writes"] = False
        db.session().enter(own["tenant"])
        with as_tenant(foreign["tenant"]) as session:
            session.add(Visitor(subject="new"))
        assert db.session().tenant_id == own["tenant"]
        assert db.session.scalars(select(Visitor.id)).all() == [own["visitor"]]


def test_a_write_inside_a_write_is_refused_and_not_waited_for(own: Ids, foreign: Ids) -> None:
    with as_tenant(own["tenant"]) as session:
        session.add(Visitor(subject="new"))
        session.flush()
        with pytest.raises(TenancyError), as_tenant(foreign["tenant"]):
            pass
        with pytest.raises(TenancyError):
            write(foreign["tenant"], lambda unit: None)


def test_an_error_rolls_back(own: Ids) -> None:
    before = everything()
    with pytest.raises(ZeroDivisionError), as_tenant(own["tenant"]) as session:
        session.add(Visitor(subject="new"))
        session.flush()
        raise ZeroDivisionError
    assert everything() == before


# --- caches ---------------------------------------------------------------------------------------------------------


def test_published_settings_are_the_tenants_own(app: Flask) -> None:
    with app.app_context():
        ids = {name: create_client(name, name, {"greeting": name}).id for name in ("one", "two")}
        for _again in range(2):
            for name, id_ in ids.items():
                assert read(id_, published).settings.greeting == name
        publish_settings("one", {"greeting": "one, changed"})
        assert [read(id_, published).settings.greeting for id_ in ids.values()] == ["one, changed", "two"]


def test_ids_are_unique_across_tenants(own: Ids, foreign: Ids) -> None:
    """Caches are keyed by an id alone: no two clients' rows may share one."""
    for model in tenant_models():
        twin = row_of(table_of(model), "twin", foreign | {model.__tablename__: own[model.__tablename__]})
        with pytest.raises(IntegrityError), across_tenants() as session:
            session.execute(insert(table_of(model)).values(twin))


# --- the statements that go round the session: on SQLite nothing else binds them to a tenant ------------------------

ACROSS = {
    "chatbot.chat.ending._EXPIRED", "chatbot.chat.ending._ORPHANS",  # the sweeper's, for all tenants at once
    "chatbot.chat.stopping._OPEN", "chatbot.chat.stopping._UNSERVED",  # likewise, where a client is served no more
    "chatbot.accounts.second_factor.factors._WHO_ASK", "chatbot.accounts.places._PLACES", "chatbot.accounts.places._CLOSED",  # a person's own
    "chatbot.accounts.members._MEMBER",  # asked through the session, which scopes it
}  # fmt: skip


def statements() -> Iterator[tuple[str, Any]]:
    """Every prepared statement of the product, by `module.NAME`."""
    for module in pkgutil.walk_packages(chatbot.__path__, "chatbot."):
        if ".migrations" not in module.name and not module.name.endswith("conf"):
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, Select | Update | Delete | TextClause):
                    yield f"{module.name}.{name}", value


def unbound(statement: Any) -> set[str]:
    """The tenant tables in a statement that no `tenant_id = :of_tenant` (or another's tenant_id) holds to one tenant."""
    if isinstance(statement, TextClause):
        tables = set(re.findall(r"(?:FROM|INTO|UPDATE|JOIN) (\w+)", str(statement))) & set(tenant_tables())
        is_bound = re.search(r"tenant_id = :of_tenant|VALUES \(.*:of_tenant", str(statement))
        return set() if is_bound else tables
    parts = [part for part in iterate(statement)]
    bound = {side.table for part in parts if isinstance(part, BinaryExpression) for side in tenant_sides(part)}
    asked = {part for part in parts if isinstance(part, Table) and part.name in tenant_tables()}
    return {table.name for table in asked - bound}


def tenant_sides(equation: BinaryExpression[Any]) -> list[Any]:
    """The tenant_id columns of `tenant_id = :of_tenant` and of `a.tenant_id = b.tenant_id`."""
    sides = [equation.left, equation.right]
    columns = [side for side in sides if getattr(side, "name", None) == "tenant_id"]
    is_one_tenants = len(columns) == 2 or any(getattr(side, "key", None) == "of_tenant" for side in sides)
    return columns if equation.operator is operator.eq and is_one_tenants else []


ROUND_THE_SESSION = re.compile(
    r"table_of\(|__table__|exec_driver_sql|\.connection\(|\.engine\.(?:connect|begin)\(|create_engine"
)
MAY_GO_ROUND = {
    "accounts/entering", "accounts/places", "accounts/second_factor/factors", "accounts/sign_ins", "chat/readers", "chat/stopping", "chat/store", "db", "encryption_keys", "health", "knowledge/models", "knowledge/store", "prepare", "schema", "sqlite_writer", "tenancy", "tenants/defaults", "tenants/keys", "tenants/named_endpoint", "tenants/published", "tenants/purging", "tenants/standing", "usage/ledger",
}  # fmt: skip


def test_few_modules_go_round_the_session() -> None:
    root = Path(chatbot.__path__[0])
    paths = [path for path in root.rglob("*.py") if "migrations" not in path.parts]
    found = {
        path.relative_to(root).with_suffix("").as_posix()
        for path in paths
        if ROUND_THE_SESSION.search(path.read_text())
    }
    assert found <= MAY_GO_ROUND, "name the model through the session, or bind the tenant by db.Unit and say so here"


def test_prepared_statements_bind_their_tenant() -> None:
    found = dict(statements())
    assert len(found) > 40 and set(found) >= ACROSS
    assert {name: unbound(statement) for name, statement in found.items() if unbound(statement)}.keys() == ACROSS


# --- PostgreSQL's own wall: each test goes round the session, as the runtime role -----------------------------------


@pytest.fixture
def role(app: Flask, database: dict[str, str]) -> Iterator[Engine]:
    """A plain connection of the runtime role: nothing of ours in between."""
    engine = create_engine(database["DATABASE_URL"])
    yield engine
    engine.dispose()


on_postgres = [pytest.mark.postgres, pytest.mark.parametrize("database", ["postgres"], indirect=True)]


def marked(function: Any) -> Any:
    for mark in on_postgres:
        function = mark(function)
    return function


def entered(connection: Any, tenant: str | None) -> Any:
    if tenant is not None:
        connection.execute(text("SELECT set_config('app.tenant', :tenant, true)"), {"tenant": tenant})
    return connection


@marked
def test_row_security_is_on_and_forced(role: Engine) -> None:
    with role.connect() as connection:
        rows = connection.execute(
            text("SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class WHERE relkind IN ('r', 'p')")
        )
        is_forced = {name: forced for name, forced in rows}
    assert {table: is_forced[table] for table in tenant_tables()} == dict.fromkeys(tenant_tables(), True)


@marked
def test_row_security_shows_own_rows_alone(role: Engine, own: Ids, foreign: Ids) -> None:
    for tenant, seen in (
        (own["tenant"], [own]),
        (foreign["tenant"], [foreign]),
        ("*", [own, foreign]),
        ("", []),
        (None, []),
    ):
        with role.connect() as connection:
            entered(connection, tenant)
            for model in tenant_models():
                found = set(connection.scalars(select(table_of(model).c.id)))
                assert found == {ids[model.__tablename__] for ids in seen}, (model, tenant)


@marked
def test_row_security_forgets_the_tenant_with_the_transaction(role: Engine, own: Ids) -> None:
    """A pooled connection's setting reads '' afterwards: it shows nothing, and raises nothing."""
    with role.connect() as connection:
        assert entered(connection, own["tenant"]).scalar(select(func.count()).select_from(T)) == 1
        connection.commit()
        assert connection.scalar(text("SELECT current_setting('app.tenant', true)")) == ""
        assert connection.scalar(select(func.count()).select_from(T)) == 0


@marked
def test_row_security_checks_writes(role: Engine, own: Ids, foreign: Ids) -> None:
    for model in tenant_models():
        check_writes(role, model, own, foreign)


def check_writes(role: Engine, model: type[Any], own: Ids, foreign: Ids) -> None:
    table, name = table_of(model), model.__tablename__
    for tenant in (own["tenant"], "", None):
        with role.connect() as connection, pytest.raises(ProgrammingError, match="row-level security"):
            new = row_of(table, "new", foreign | {name: new_id()})
            entered(connection, tenant).execute(insert(table).values(new))
        with role.connect() as connection:
            entered(connection, tenant)
            assert (
                connection.execute(update(table).where(table.c.id == foreign[name]).values(id=new_id())).rowcount == 0
            )
            assert connection.execute(delete_(table).where(table.c.id == foreign[name])).rowcount == 0
    with role.connect() as connection, pytest.raises(ProgrammingError, match="row-level security"):
        given = update(table).where(table.c.id == own[name]).values(tenant_id=foreign["tenant"])
        entered(connection, own["tenant"]).execute(given)


@marked
def test_the_runtime_role_owns_nothing(role: Engine) -> None:
    with role.connect() as connection:
        owned = connection.scalars(text("SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = current_user"))
        rights = connection.execute(
            text(
                "SELECT rolsuper, rolbypassrls, rolcreaterole, rolreplication FROM pg_roles WHERE rolname = current_user"
            )
        )
        assert owned.all() == [] and tuple(rights.one()) == (False, False, False, False)


CHANGES = """
ALTER TABLE visitor DISABLE ROW LEVEL SECURITY
ALTER TABLE visitor NO FORCE ROW LEVEL SECURITY
DROP POLICY own_rows ON visitor
CREATE POLICY all_rows ON visitor USING (true)
ALTER TABLE visitor ADD COLUMN x text
DROP TABLE visitor
TRUNCATE visitor CASCADE
ALTER TABLE visitor OWNER TO CURRENT_USER
CREATE TABLE mine (x text)
CREATE VIEW mine AS SELECT * FROM visitor
CREATE TRIGGER t AFTER INSERT ON visitor EXECUTE FUNCTION suppress_redundant_updates_trigger()
SET session_replication_role = replica
SET ROLE shaman_owner
UPDATE alembic_version SET version_num = 'x'
"""


@marked
def test_the_runtime_role_cannot_change_the_schema(role: Engine) -> None:
    allowed = []
    for statement in CHANGES.strip().splitlines():
        with role.connect() as connection:
            try:
                connection.exec_driver_sql(statement)
            except ProgrammingError:
                continue
            allowed.append(statement)
    assert allowed == []


@marked
def test_row_security_holds_though_the_session_is_open_to_all(own: Ids, foreign: Ids) -> None:
    """The session's scope switched off: the database still shows one client."""
    with as_tenant(own["tenant"], writes=False) as session:
        assert session.connection().scalars(select(table_of(Turn).c.id)).all() == [own["turn"]]


def test_the_tables_are_those_of_the_models(app: Flask) -> None:
    with app.app_context():
        assert set(inspect(db.engine).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
