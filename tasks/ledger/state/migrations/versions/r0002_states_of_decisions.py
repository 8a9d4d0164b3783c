"""The states of a request on which people decide."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BEFORE = (
    *("accepted", "planned", "erased", "attempted", "verified", "gated", "validated", "published"),
    *("rejected", "repeated", "replaced", "suspect", "restored"),
)
STATES = (*BEFORE[:7], "awaiting_approval", "approved", *BEFORE[7:])
CHECK = "ck_requests_state_is_known"


def upgrade() -> None:
    _change(sa.String(16), sa.String(20), STATES)


def downgrade() -> None:
    op.execute("DELETE FROM requests WHERE state IN ('awaiting_approval', 'approved')")
    _change(sa.String(20), sa.String(16), BEFORE)


def _change(before: sa.String, after: sa.String, states: tuple[str, ...]) -> None:
    with op.batch_alter_table("requests") as requests:
        requests.drop_constraint(op.f(CHECK), type_="check")
        requests.alter_column("state", existing_type=before, type_=after, existing_nullable=False)
        requests.create_check_constraint(op.f(CHECK), f"state IN {states}")
