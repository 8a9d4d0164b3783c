"""The tables: model lines with their last receipt, requests with their states, checks that are due, and leases.

Lines, requests and checks repeat what signed receipts say, and are never believed over them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)
from sqlalchemy.types import TypeDecorator

REQUEST_STATES = (
    *("accepted", "planned", "erased", "attempted", "verified", "gated", "validated"),
    *("awaiting_approval", "approved", "published", "rejected", "repeated", "replaced", "suspect", "restored"),
)
DIGEST = String(64)
METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, with its time zone in Python whatever the database keeps."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what the database stores. ValueError on a moment without a time zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what was stored, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


LINES = Table(
    "lines",
    METADATA,
    Column("id", String(63), primary_key=True),
    Column("base", DIGEST, comment="digest of the base model, null as long as no receipt names it"),
    Column("head", DIGEST, nullable=False, comment="digest of the last receipt"),
    Column("sequence", Integer, nullable=False, comment="number of the last receipt"),
    Column("envelope", LargeBinary, nullable=False, comment="the last receipt, signed (DSSE)"),
    CheckConstraint("sequence >= 1", name="sequence_counts_from_one"),
    CheckConstraint("length(head) = 64", name="head_is_a_digest"),
)

REQUESTS = Table(
    "requests",
    METADATA,
    Column("line", ForeignKey(LINES.c.id, ondelete="CASCADE"), primary_key=True),
    Column("work", DIGEST, primary_key=True, comment="key of the work order, or the digest of a policy that is none"),
    Column("id", String(200), nullable=False, comment="request id"),
    Column("policy", String(64), nullable=False, comment="digest of the policy"),
    Column("state", String(20), nullable=False),
    Column("receipt", DIGEST, nullable=False, comment="digest of the receipt that the state follows from"),
    Column("at", UtcDateTime, nullable=False, comment="when that receipt was written"),
    Column("received", UtcDateTime, comment="when the request arrived; null where the policy is lost"),
    Column("due", UtcDateTime, comment="by when the law wants it published; null where no law says"),
    CheckConstraint(f"state IN {REQUEST_STATES}", name="state_is_known"),
    Index(None, "id"),
    Index(None, "policy"),
    Index(None, "state", "due"),
)

CHECKS = Table(
    "checks",
    METADATA,
    Column("line", ForeignKey(LINES.c.id, ondelete="CASCADE"), primary_key=True),
    Column("bundle", DIGEST, nullable=False, comment="what the line has to serve"),
    Column("proven", UtcDateTime, nullable=False, comment="when its weights were proven last"),
    Column("checked", UtcDateTime, comment="when they were checked last, whatever came of it"),
    Column("proof_due", UtcDateTime, comment="by when they have to be proven again; null for a base"),
    Column("check_due", UtcDateTime, comment="by when they have to be checked again; null for a base"),
    Column("suspect", Boolean, nullable=False, comment="whether the last check did not prove them"),
    Index(None, "check_due"),
)

RECORDS = Table(
    "records",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1, for a database has one record"),
    Column("number", String(32), nullable=False, comment="under which the record lies in S3"),
    CheckConstraint("id = 1", name="one_record"),
)

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("token", BigInteger, nullable=False, comment="fencing token, greater with each acquisition"),
    Column("holder", String(200), comment="the process that holds it; null when it was released"),
    Column("expires", UtcDateTime, comment="from then on another may take it; null when it was released"),
    Column("fenced", Boolean, nullable=False, comment="whether no earlier holder can move the pointer in S3 any more"),
    CheckConstraint("token >= 1", name="token_counts_from_one"),
    CheckConstraint("(holder IS NULL) = (expires IS NULL)", name="held_until_it_expires"),
)
