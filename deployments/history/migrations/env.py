"""Run by Alembic: on the connection, and in the transaction, of who asked for it."""

from alembic import context

from deployments.history.base import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
