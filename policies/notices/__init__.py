"""Notices: what comes in, what each kind must contain, and the draft policy that follows from it."""

from expunge.policies.notices.draft import draft_policy, draft_withdrawal
from expunge.policies.notices.notice import Notice
from expunge.policies.notices.read_notice import read_notice
from expunge.policies.notices.redaction import public_form

__all__ = [
    "Notice",
    "draft_policy",
    "draft_withdrawal",
    "public_form",
    "read_notice",
]
