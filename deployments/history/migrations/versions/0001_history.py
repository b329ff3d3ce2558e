"""Conversations, runs and what was told of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.String(64)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "conversations",
        sa.Column("id", _ID, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("touched", sa.Float(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
    )
    op.create_index("ix_conversations_owner", "conversations", ["owner"])
    op.create_index("ix_conversations_touched", "conversations", ["touched"])
    _runs()
    op.create_table(
        "messages",
        sa.Column("id", _ID, nullable=False),
        sa.Column("conversation", _ID, nullable=False),
        sa.Column("run", _ID),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.ForeignKeyConstraint(
            ["conversation"], ["conversations.id"], name="fk_messages_conversation", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_messages_run", ondelete="CASCADE"),
    )
    op.create_index("ix_messages_run", "messages", ["run"])
    op.create_index("ix_messages_conversation_place", "messages", ["conversation", "place"])
    _of_runs()


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", _ID, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("instance", _ID, nullable=False),
        sa.Column("door", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("background", sa.Boolean(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("conversation", _ID),
        sa.Column("repeats", _ID),
        sa.Column("key", sa.Text()),
        sa.Column("digest", sa.String(64)),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("ended", sa.Float()),
        sa.Column("plan", sa.Text()),
        sa.Column("answer", sa.Text()),
        sa.Column("error", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.ForeignKeyConstraint(
            ["conversation"], ["conversations.id"], name="fk_runs_conversation", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_runs_conversation", "runs", ["conversation"])
    op.create_index("ix_runs_created", "runs", ["created"])
    op.create_index("ix_runs_owner_created", "runs", ["owner", "created"])
    op.create_index("ix_runs_owner_key", "runs", ["owner", "key"], unique=True)
    op.create_index("ix_runs_state_instance", "runs", ["state", "instance"])


def _of_runs() -> None:
    """What runs told, planned and made."""

    def table(name: str, *columns: sa.Column[object] | sa.PrimaryKeyConstraint) -> None:
        run = sa.ForeignKeyConstraint(["run"], ["runs.id"], name=f"fk_{name}_run", ondelete="CASCADE")
        op.create_table(name, sa.Column("run", _ID, nullable=False), *columns, run)

    table(
        "events",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "number", name="pk_events"),
    )
    table(
        "tasks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16)),
        sa.Column("model", sa.String(255)),
        sa.Column("wire", sa.Text()),
        sa.Column("choice", sa.Text()),
        sa.Column("outcome", sa.Text()),
        sa.PrimaryKeyConstraint("run", "id", name="pk_tasks"),
    )
    op.create_index("ix_tasks_task", "tasks", ["task"])
    table(
        "artifacts",
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("task", sa.Integer(), nullable=False),
        sa.Column("media_type", sa.String(255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", "path", name="pk_artifacts"),
    )
