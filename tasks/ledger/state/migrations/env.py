"""Run migrations on the connection that the caller has open, inside its transaction."""

from alembic import context

from expunge.tasks.ledger.state.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
