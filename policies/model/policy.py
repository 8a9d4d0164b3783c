"""A policy: a request whose fields fit together, and its digest. `reading.reader` turns a file into one."""

from __future__ import annotations

import hashlib

from pydantic import model_validator

from expunge.policies.errors import PolicyErrors
from expunge.policies.model.canonical import composed_json
from expunge.policies.model.checks import cross_errors
from expunge.policies.model.schema import Request

LABELS = {"request_id", "received_at", "title", "description", "base_name"}
"""Fields that say who asks, when and why, and change nothing of what is erased, or of how it is proven."""


class Policy(Request):
    """One takedown request that contradicts nothing in itself."""

    @model_validator(mode="after")
    def _fits_together(self) -> Policy:
        errors = cross_errors(self)
        if errors:
            raise PolicyErrors(errors)
        return self

    @property
    def digest(self) -> str:
        """sha256 (hex) over the canonical JSON of the whole policy, defaults included."""
        return hashlib.sha256(composed_json(self.model_dump(mode="json"))).hexdigest()

    @property
    def counting_keys(self) -> set[str]:
        """Return the names and aliases of all targets, each as attempts are counted by."""
        return {key for concept in self.concepts for key in concept.counting_keys}

    def asks_the_same(self, other: Policy) -> bool:
        """Return whether both differ in nothing but labels."""
        return self.model_dump(exclude=LABELS) == other.model_dump(exclude=LABELS)
