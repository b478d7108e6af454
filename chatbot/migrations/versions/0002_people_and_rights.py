"""people and rights"""

import sqlalchemy as sa
from alembic import op

from chatbot.migrations.tenant_tables import grant_to_runtime_role, is_postgres, protect
from chatbot.tenancy import new_id

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.String(length=26), nullable=True),
        sa.Column("who", sa.String(length=320), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("tenant_id", sa.String(length=26), nullable=True),
        sa.Column("tenant_slug", sa.String(length=63), nullable=False),
        sa.Column("target", sa.String(length=320), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_entry_at"), ["at"], unique=False)
        batch_op.create_index("ix_audit_of_tenant", ["tenant_id", "at"], unique=False)

    op.create_table(
        "model_endpoint",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("base_url", sa.String(length=500), nullable=False),
        sa.Column("api_key", sa.Text(), nullable=True),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("is_for_all", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_endpoint")),
        sa.UniqueConstraint("name", name=op.f("uq_model_endpoint_name")),
    )
    op.create_table(
        "platform_setting",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_setting")),
        sa.UniqueConstraint("name", name=op.f("uq_platform_setting_name")),
    )
    op.create_table(
        "platform_answer",
        sa.Column("caller", sa.String(length=120), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_answer")),
        sa.UniqueConstraint("caller", "key", name=op.f("uq_platform_answer_caller_key")),
    )
    with op.batch_alter_table("platform_answer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_platform_answer_created_at"), ["created_at"], unique=False)

    op.create_table(
        "endpoint_grant",
        sa.Column("endpoint_id", sa.String(length=26), nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("tenant_id", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["model_endpoint.id"], name=op.f("fk_endpoint_grant_endpoint_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_endpoint_grant_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoint_grant")),
        sa.UniqueConstraint("tenant_id", "endpoint_id", name=op.f("uq_endpoint_grant_tenant_id_endpoint_id")),
    )
    with op.batch_alter_table("endpoint_grant", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_endpoint_grant_endpoint_id"), ["endpoint_id"], unique=False)

    op.create_table(
        "identity_provider",
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("client_secret", sa.Text(), nullable=True),
        sa.Column("domains", sa.JSON(), nullable=False),
        sa.Column("is_required", sa.Boolean(), nullable=False),
        sa.Column("claim", sa.String(length=100), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("tenant_id", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_identity_provider_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_provider")),
        sa.UniqueConstraint("tenant_id", name=op.f("uq_identity_provider_tenant_id")),
    )
    op.create_table(
        "identity",
        sa.Column("account_id", sa.String(length=26), nullable=False),
        sa.Column("provider_of", sa.String(length=26), nullable=True),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_identity_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["provider_of"], ["tenant.id"], name=op.f("fk_identity_provider_of"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
    )
    with op.batch_alter_table("identity", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_identity_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_identity_provider_of"), ["provider_of"], unique=False)
        batch_op.create_index("uq_identity_of_client", ["provider_of", "issuer", "subject"], unique=True)
        batch_op.create_index(
            "uq_identity_of_platform",
            ["issuer", "subject"],
            unique=True,
            sqlite_where=sa.text("provider_of IS NULL"),
            postgresql_where=sa.text("provider_of IS NULL"),
        )

    op.create_table(
        "one_time_link",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=26), nullable=True),
        sa.Column("tenant_id", sa.String(length=26), nullable=True),
        sa.Column("role", sa.String(length=10), nullable=True),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("made_by", sa.String(length=320), nullable=False),
        sa.Column("inviter_id", sa.String(length=26), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_one_time_link_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["inviter_id"], ["account.id"], name=op.f("fk_one_time_link_inviter_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_one_time_link_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_link")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_one_time_link_secret_hash")),
    )
    with op.batch_alter_table("one_time_link", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_one_time_link_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_one_time_link_inviter_id"), ["inviter_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_one_time_link_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "passkey",
        sa.Column("account_id", sa.String(length=26), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(length=1023), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("transports", sa.JSON(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_passkey_account_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkey")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkey_credential_id")),
    )
    with op.batch_alter_table("passkey", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_passkey_account_id"), ["account_id"], unique=False)

    op.create_table(
        "recovery_code",
        sa.Column("account_id", sa.String(length=26), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_recovery_code_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_code")),
    )
    with op.batch_alter_table("recovery_code", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recovery_code_account_id"), ["account_id"], unique=False)

    op.create_table(
        "sign_in",
        sa.Column("account_id", sa.String(length=26), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("confined_to", sa.String(length=26), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("strong_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("entered_id", sa.String(length=26), nullable=True),
        sa.Column("entered_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_sign_in_account_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["confined_to"], ["tenant.id"], name=op.f("fk_sign_in_confined_to"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["entered_id"], ["tenant.id"], name=op.f("fk_sign_in_entered_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in")),
    )
    with op.batch_alter_table("sign_in", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sign_in_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_sign_in_confined_to"), ["confined_to"], unique=False)
        batch_op.create_index(batch_op.f("ix_sign_in_entered_id"), ["entered_id"], unique=False)

    op.create_table(
        "usage_day",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("questions", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("conversations", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("tenant_id", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_usage_day_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_day")),
        sa.UniqueConstraint("tenant_id", "day", name=op.f("uq_usage_day_tenant_id_day")),
    )
    _sum_up_ledger()

    with op.batch_alter_table("account", schema=None) as batch_op:
        batch_op.add_column(sa.Column("home_id", sa.String(length=26), nullable=True))
        batch_op.add_column(sa.Column("totp_secret", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("totp_step", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("last_sign_in_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.drop_constraint(batch_op.f("uq_account_email"), type_="unique")
        batch_op.create_index(
            "uq_account_email",
            ["email"],
            unique=True,
            sqlite_where=sa.text("home_id IS NULL"),
            postgresql_where=sa.text("home_id IS NULL"),
        )
        batch_op.create_index(batch_op.f("ix_account_home_id"), ["home_id"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_account_home_id"), "tenant", ["home_id"], ["id"], ondelete="CASCADE")

    with op.batch_alter_table("source", schema=None) as batch_op:
        batch_op.add_column(sa.Column("listed", sa.JSON(), nullable=True))

    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.add_column(sa.Column("is_by_claim", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.alter_column("is_by_claim", server_default=None)

    with op.batch_alter_table("tenant", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("requires_second_factor", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch_op.add_column(sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table("tenant", schema=None) as batch_op:
        batch_op.alter_column("requires_second_factor", server_default=None)
    _freeze_audit()
    protect("endpoint_grant", "identity_provider", "usage_day")
    grant_to_runtime_role()


def _sum_up_ledger() -> None:
    """A row for each client and day that the ledger has, in UTC: the client's own days are counted from now on."""
    connection = op.get_bind()
    day = "substr(l.created_at, 1, 10)"
    if is_postgres():
        op.execute("SELECT set_config('app.tenant', '*', true)")
        day = "to_char(l.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    counted = "l.outcome = 'complete' OR l.input_tokens + l.output_tokens > 0"
    sums = sa.text(
        f"SELECT l.tenant_id, {day} AS day, count(*) AS questions,"  # noqa: S608
        " sum(CASE WHEN l.outcome = 'complete' THEN 1 ELSE 0 END) AS answered,"
        " sum(CASE WHEN l.outcome IN ('failed', 'interrupted') THEN 1 ELSE 0 END) AS failed,"
        f" sum(CASE WHEN {counted} THEN 1 ELSE 0 END) AS messages,"
        " sum(CASE WHEN t.number = 1 THEN 1 ELSE 0 END) AS conversations,"
        " sum(l.input_tokens) AS input_tokens, sum(l.output_tokens) AS output_tokens, max(l.created_at) AS last_at"
        " FROM ledger_entry l LEFT JOIN turn t ON t.id = l.turn_id GROUP BY 1, 2"
    ).columns(last_at=sa.DateTime(timezone=True))
    table = sa.table(
        "usage_day",
        *map(sa.column, ("id", "tenant_id", "day", "questions", "answered", "failed", "messages", "conversations")),
        *map(sa.column, ("input_tokens", "output_tokens")),
        sa.column("last_at", sa.DateTime(timezone=True)),
    )
    rows = [{"id": new_id(), **row._mapping} for row in connection.execute(sums)]
    if rows:
        connection.execute(table.insert(), rows)


def _freeze_audit() -> None:
    """An entry of the audit log stays as it was written, whoever asks for a change."""
    if is_postgres():
        op.execute(
            "CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'the audit log is never changed'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON audit_entry"
            " FOR EACH ROW EXECUTE FUNCTION audit_stays()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_stays_{change.lower()} BEFORE {change} ON audit_entry"
            " BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END"
        )
    op.execute(  # REPLACE deletes without asking the trigger of a delete
        "CREATE TRIGGER audit_stays_replace BEFORE INSERT ON audit_entry"
        " WHEN EXISTS (SELECT 1 FROM audit_entry WHERE id = NEW.id)"
        " BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END"
    )


def downgrade() -> None:
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.drop_column("is_by_claim")

    with op.batch_alter_table("tenant", schema=None) as batch_op:
        batch_op.drop_column("deleted_at")
        batch_op.drop_column("requires_second_factor")

    with op.batch_alter_table("source", schema=None) as batch_op:
        batch_op.drop_column("listed")

    with op.batch_alter_table("account", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_account_home_id"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_account_home_id"))
        batch_op.drop_index(
            "uq_account_email", sqlite_where=sa.text("home_id IS NULL"), postgresql_where=sa.text("home_id IS NULL")
        )
        batch_op.create_unique_constraint(batch_op.f("uq_account_email"), ["email"])
        batch_op.drop_column("last_sign_in_at")
        batch_op.drop_column("totp_step")
        batch_op.drop_column("totp_secret")
        batch_op.drop_column("home_id")

    with op.batch_alter_table("sign_in", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sign_in_entered_id"))
        batch_op.drop_index(batch_op.f("ix_sign_in_confined_to"))
        batch_op.drop_index(batch_op.f("ix_sign_in_account_id"))

    op.drop_table("sign_in")
    with op.batch_alter_table("recovery_code", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_recovery_code_account_id"))

    op.drop_table("recovery_code")
    with op.batch_alter_table("passkey", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_passkey_account_id"))

    op.drop_table("passkey")
    with op.batch_alter_table("one_time_link", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_one_time_link_tenant_id"))
        batch_op.drop_index(batch_op.f("ix_one_time_link_inviter_id"))
        batch_op.drop_index(batch_op.f("ix_one_time_link_account_id"))

    op.drop_table("one_time_link")
    with op.batch_alter_table("identity", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_identity_of_platform",
            sqlite_where=sa.text("provider_of IS NULL"),
            postgresql_where=sa.text("provider_of IS NULL"),
        )
        batch_op.drop_index("uq_identity_of_client")
        batch_op.drop_index(batch_op.f("ix_identity_provider_of"))
        batch_op.drop_index(batch_op.f("ix_identity_account_id"))

    op.drop_table("identity")
    op.drop_table("identity_provider")
    with op.batch_alter_table("endpoint_grant", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_endpoint_grant_endpoint_id"))

    op.drop_table("endpoint_grant")
    with op.batch_alter_table("platform_answer", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_platform_answer_created_at"))

    op.drop_table("platform_answer")
    op.drop_table("platform_setting")
    op.drop_table("model_endpoint")
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_of_tenant")
        batch_op.drop_index(batch_op.f("ix_audit_entry_at"))

    op.drop_table("audit_entry")
    op.drop_table("usage_day")
    if is_postgres():
        op.execute("DROP FUNCTION audit_stays()")
