"""Runs the migrations on the connection that `olrsearch.store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from olrsearch.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter tables in place
)
with context.begin_transaction():
    context.run_migrations()
