"""Two walls stand between clients: the session's scope, and PostgreSQL's own policies. Each holds alone, the other switched off."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, event, insert, select, text, update
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from chatbot import db as database_module
from chatbot import tenancy
from chatbot.db import Unit, across_tenants, as_tenant, read, write
from chatbot.tenancy import TenancyError, TenantModel, TenantSession, new_id, table_of
from tests.isolation.cast import Cast, refusal
from tests.isolation.probes import PROBES, Probe, outcome
from tests.isolation.probes_of_people import PROBES_OF_PEOPLE
from tests.rows import insert_one_of_each, row_of, tenant_models

ON_POSTGRES = [pytest.mark.postgres, pytest.mark.parametrize("database", ["postgres"], indirect=True)]
Ids = dict[str, str]


@pytest.fixture
def two(app: Flask) -> Iterator[tuple[Ids, Ids]]:
    """Two clients with one row in every table; the ids of each by table."""
    with app.app_context():
        with across_tenants() as session:
            ids = insert_one_of_each(session.connection(), "own"), insert_one_of_each(session.connection(), "foreign")
        yield ids


@pytest.fixture
def no_scope() -> Iterator[None]:
    """The session scopes nothing and checks nothing; it still says in which client a new row is."""
    for name, listener in (("do_orm_execute", tenancy._scope), ("before_flush", tenancy._stamp)):
        event.remove(TenantSession, name, listener)
    event.listen(TenantSession, "before_flush", stamp_alone)
    yield
    event.remove(TenantSession, "before_flush", stamp_alone)
    for name, listener in (("do_orm_execute", tenancy._scope), ("before_flush", tenancy._stamp)):
        event.listen(TenantSession, name, listener)


def stamp_alone(session: Session, context: Any, instances: Any) -> None:
    for row in session.new:
        if isinstance(row, TenantModel) and row.tenant_id is None:
            row.tenant_id = session.info["tenant_id"]


@pytest.fixture
def no_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is told that all clients are meant, so the policies let everything through."""

    def to_all(connection: Any, tenant_id: str | None) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT set_config('app.tenant', '*', true)"))

    monkeypatch.setattr(tenancy, "bind_connection", to_all)
    monkeypatch.setattr(database_module, "bind_connection", to_all)


def on_postgres(function: Any) -> Any:
    for mark in ON_POSTGRES:
        function = mark(function)
    return function


# --- what either of them shows and refuses --------------------------------------------------------------------------


def seen(session: Session, model: type[Any]) -> set[str]:
    return set(session.scalars(select(model.id)))


def refuses(work: Callable[[], object], *kinds: type[Exception]) -> bool:
    try:
        work()
    except kinds:
        return True
    return False


def writes(session: Session, model: type[Any], own: Ids, foreign: Ids) -> dict[str, bool]:
    """Whether each way to write another client's row is refused, or changes nothing."""
    name, table = model.__tablename__, table_of(model)
    new = row_of(table, "new", foreign | {name: new_id()})
    refused = (ProgrammingError, TenancyError)

    def changes(statement: Any) -> Callable[[], None]:
        def attempt() -> None:
            savepoint = session.begin_nested()
            with suppress(IntegrityError), savepoint:  # which it meets behind the wall
                done: Any = session.execute(statement.execution_options(synchronize_session=False))
                savepoint.rollback()
                if done.rowcount == 0:
                    raise TenancyError("nothing was there")

        return attempt

    return {
        "an update": refuses(changes(update(model).where(model.id == foreign[name]).values(id=new_id())), *refused),
        "a deletion": refuses(changes(delete(model).where(model.id == foreign[name])), *refused),
        "an insert": refuses(changes(insert(model).values(new)), *refused),
        "a row given away": refuses(
            changes(update(model).where(model.id == own[name]).values(tenant_id=foreign["tenant"])), *refused
        ),
    }


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("no_scope")
def test_the_switch_of_the_scope_does_switch(two: tuple[Ids, Ids]) -> None:
    own, foreign = two
    with as_tenant(own["tenant"]) as session:
        for model in tenant_models():
            assert seen(session, model) == {own[model.__tablename__], foreign[model.__tablename__]}
            assert not any(writes(session, model, own, foreign).values()), model
            session.rollback()


@on_postgres
@pytest.mark.usefixtures("no_policies")
def test_the_switch_of_the_policies_does_switch(two: tuple[Ids, Ids]) -> None:
    own, foreign = two
    for model in tenant_models():
        ids = select(table_of(model).c.id)
        with as_tenant(own["tenant"], writes=False) as session:
            assert set(session.connection().scalars(ids)) == {own[model.__tablename__], foreign[model.__tablename__]}


@on_postgres
@pytest.mark.usefixtures("no_scope")
def test_the_policies_hold_alone(two: tuple[Ids, Ids]) -> None:
    own, foreign = two
    for model in tenant_models():
        name = model.__tablename__
        with as_tenant(own["tenant"]) as session:
            assert seen(session, model) == {own[name]}
            assert session.get(model, foreign[name]) is None
            assert all(writes(session, model, own, foreign).values()), (name, writes(session, model, own, foreign))
            session.rollback()


@pytest.mark.usefixtures("no_policies")
def test_the_scope_holds_alone(two: tuple[Ids, Ids]) -> None:
    """On SQLite there is nothing else anyway."""
    own, foreign = two
    for model in tenant_models():
        name = model.__tablename__
        with as_tenant(own["tenant"]) as session:
            assert seen(session, model) == {own[name]}
            assert session.get(model, foreign[name]) is None
            assert all(writes(session, model, own, foreign).values()), (name, writes(session, model, own, foreign))
            session.rollback()


@on_postgres
def test_the_policies_hold_for_units(two: tuple[Ids, Ids]) -> None:
    """Core statements that forgot their client: `Unit`s have no scope, here the policies are the only wall."""
    own, foreign = two

    def forgetful(unit: Unit) -> None:
        for model in tenant_models():
            table, name = table_of(model), model.__tablename__
            assert set(unit.connection.scalars(select(table.c.id))) == {own[name]}
            assert unit.connection.execute(delete(table).where(table.c.id == foreign[name])).rowcount == 0

    read(own["tenant"], forgetful)
    write(own["tenant"], forgetful)


# --- the doors, with one wall down ----------------------------------------------------------------------------------

OF_CLIENTS = [probe for probe in (*PROBES, *PROBES_OF_PEOPLE) if "/account/" not in probe.place]


@on_postgres
@pytest.mark.usefixtures("no_scope")
def test_the_doors_are_shut_by_the_policies_alone(people: Cast) -> None:
    for probe in OF_CLIENTS:
        is_shut(people, probe)


@on_postgres
@pytest.mark.usefixtures("no_policies")
def test_the_doors_are_shut_by_the_scope_alone(people: Cast) -> None:
    for probe in OF_CLIENTS:
        is_shut(people, probe)


def is_shut(people: Cast, probe: Probe) -> None:
    """To those at the other shop, who are in no other way kept from it."""
    owner, right = people.callers[probe.owner], probe.right(people.world.app)
    target = probe.make(owner)
    made_up = probe.twin(target)
    for stranger in people.at_the_other_shop:
        foreign, unknown = (probe.use(stranger, id_) for id_ in (target, made_up))
        assert outcome(foreign, target) == outcome(unknown, made_up), (probe.place, stranger.name)
        status = refusal(right, stranger, probe.scope)
        assert foreign.status_code == (probe.made_up if status == 404 else status), (probe.place, stranger.name)
        assert b"CNRY" not in foreign.get_data(), (probe.place, stranger.name)
    assert probe.use(owner, target).status_code < 400
