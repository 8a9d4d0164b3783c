"""The number under which the record lies in S3."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "records",
        sa.Column(
            "id",
            sa.Integer,
            autoincrement=False,
            nullable=False,
            comment="always 1, for a database has one record",
        ),
        sa.Column("number", sa.String(32), nullable=False, comment="under which the record lies in S3"),
        sa.PrimaryKeyConstraint("id", name="pk_records"),
        sa.CheckConstraint("id = 1", name=op.f("ck_records_one_record")),
    )


def downgrade() -> None:
    op.drop_table("records")
