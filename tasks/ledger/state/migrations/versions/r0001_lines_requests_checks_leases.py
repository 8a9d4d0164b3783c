"""Lines, requests, checks and leases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

STATES = (
    *("accepted", "planned", "erased", "attempted", "verified", "gated", "validated", "published"),
    *("rejected", "repeated", "replaced", "suspect", "restored"),
)
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "lines",
        sa.Column("id", sa.String(63), nullable=False),
        sa.Column("base", sa.String(64), comment="digest of the base model, null as long as no receipt names it"),
        sa.Column("head", sa.String(64), nullable=False, comment="digest of the last receipt"),
        sa.Column("sequence", sa.Integer, nullable=False, comment="number of the last receipt"),
        sa.Column("envelope", sa.LargeBinary, nullable=False, comment="the last receipt, signed (DSSE)"),
        sa.PrimaryKeyConstraint("id", name="pk_lines"),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_lines_sequence_counts_from_one")),
        sa.CheckConstraint("length(head) = 64", name=op.f("ck_lines_head_is_a_digest")),
    )
    op.create_table(
        "requests",
        sa.Column("line", sa.String(63), nullable=False),
        sa.Column(
            "work",
            sa.String(64),
            nullable=False,
            comment="key of the work order, or the digest of a policy that is none",
        ),
        sa.Column("id", sa.String(200), nullable=False, comment="request id"),
        sa.Column("policy", sa.String(64), nullable=False, comment="digest of the policy"),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column(
            "receipt", sa.String(64), nullable=False, comment="digest of the receipt that the state follows from"
        ),
        sa.Column("at", MOMENT, nullable=False, comment="when that receipt was written"),
        sa.Column("received", MOMENT, comment="when the request arrived; null where the policy is lost"),
        sa.Column("due", MOMENT, comment="by when the law wants it published; null where no law says"),
        sa.PrimaryKeyConstraint("line", "work", name="pk_requests"),
        sa.ForeignKeyConstraint(["line"], ["lines.id"], name="fk_requests_line", ondelete="CASCADE"),
        sa.CheckConstraint(f"state IN {STATES}", name=op.f("ck_requests_state_is_known")),
    )
    op.create_index("ix_requests_id", "requests", ["id"])
    op.create_index("ix_requests_policy", "requests", ["policy"])
    op.create_index("ix_requests_state_due", "requests", ["state", "due"])
    op.create_table(
        "checks",
        sa.Column("line", sa.String(63), nullable=False),
        sa.Column("bundle", sa.String(64), nullable=False, comment="what the line has to serve"),
        sa.Column("proven", MOMENT, nullable=False, comment="when its weights were proven last"),
        sa.Column("checked", MOMENT, comment="when they were checked last, whatever came of it"),
        sa.Column("proof_due", MOMENT, comment="by when they have to be proven again; null for a base"),
        sa.Column("check_due", MOMENT, comment="by when they have to be checked again; null for a base"),
        sa.Column("suspect", sa.Boolean, nullable=False, comment="whether the last check did not prove them"),
        sa.PrimaryKeyConstraint("line", name="pk_checks"),
        sa.ForeignKeyConstraint(["line"], ["lines.id"], name="fk_checks_line", ondelete="CASCADE"),
    )
    op.create_index("ix_checks_check_due", "checks", ["check_due"])
    op.create_table(
        "leases",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False, comment="fencing token, greater with each acquisition"),
        sa.Column("holder", sa.String(200), comment="the process that holds it; null when it was released"),
        sa.Column("expires", MOMENT, comment="from then on another may take it; null when it was released"),
        sa.Column(
            "fenced",
            sa.Boolean,
            nullable=False,
            comment="whether no earlier holder can move the pointer in S3 any more",
        ),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
        sa.CheckConstraint("token >= 1", name=op.f("ck_leases_token_counts_from_one")),
        sa.CheckConstraint("(holder IS NULL) = (expires IS NULL)", name=op.f("ck_leases_held_until_it_expires")),
    )


def downgrade() -> None:
    for table in ("leases", "checks", "requests", "lines"):
        op.drop_table(table)
