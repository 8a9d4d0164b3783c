"""Takedown policies: what a request asks for, read strictly, and the state that all requests in force add up to."""

from expunge.policies.errors import PolicyConflict, PolicyError, PolicyErrors
from expunge.policies.floor import Approval, Floor, held_to, refuse_below
from expunge.policies.merge.amendment import changes
from expunge.policies.merge.desired_state import DesiredState, desired_state, in_force, refuse_misplaced
from expunge.policies.merge.expiry import expired_in_force, withdrawal_on_expiry
from expunge.policies.merge.withdrawn import withdrawn
from expunge.policies.model.canonical import composed_json
from expunge.policies.model.policy import Policy
from expunge.policies.model.schema import Acceptance, Base, Budget, Concept, Editor, Limits, Retained
from expunge.policies.model.text import counting_key, name_key, reading_key
from expunge.policies.reading.reader import parse, parse_floor, read, read_floor

__all__ = [
    "Acceptance",
    "Approval",
    "Base",
    "Budget",
    "Concept",
    "DesiredState",
    "Editor",
    "Floor",
    "Limits",
    "Policy",
    "PolicyConflict",
    "PolicyError",
    "PolicyErrors",
    "Retained",
    "changes",
    "composed_json",
    "counting_key",
    "desired_state",
    "expired_in_force",
    "held_to",
    "in_force",
    "name_key",
    "parse",
    "parse_floor",
    "read",
    "read_floor",
    "reading_key",
    "refuse_below",
    "refuse_misplaced",
    "withdrawal_on_expiry",
    "withdrawn",
]
