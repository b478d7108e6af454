"""What PostgreSQL is told of a tenant's table: its rows are there for their own tenant alone, whoever forgot to ask.

The policy reads the transaction's setting `app.tenant` (set by `tenancy.bind_connection`): a tenant's id, or `*` for
the admin area, the job runner and the command line. It is forced, so that the table's owner obeys it too, and the
runtime role owns nothing.
"""

from alembic import op
from flask import current_app
from sqlalchemy.engine import make_url

OWN_ROWS = "tenant_id = current_setting('app.tenant', true) OR current_setting('app.tenant', true) = '*'"


def is_postgres() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def protect(*tables: str) -> None:
    """Force row-level security on tables of tenants (nothing to do on SQLite)."""
    if not is_postgres():
        return
    for table in tables:
        op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
        op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
        op.execute(f'CREATE POLICY own_rows ON "{table}" USING ({OWN_ROWS}) WITH CHECK ({OWN_ROWS})')


def grant_to_runtime_role() -> None:
    """Let the runtime role read and write rows, and read the schema's version, and nothing else. Call it at the end of each migration that makes tables."""
    if not is_postgres():
        return
    settings = current_app.config["SHAMAN"]
    role, owner = make_url(settings.DATABASE_URL).username, make_url(settings.DATABASE_OWNER_URL).username
    if not role or role == owner:
        return
    op.execute(f'GRANT USAGE ON SCHEMA public TO "{role}"')
    op.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{role}"')
    op.execute(f'REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM "{role}"')
