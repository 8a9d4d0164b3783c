"""The provider's own decision to remove something."""

from expunge.policies.kinds.kind import LOCATED, Element, KindOfNotice, Reasons

KIND = KindOfNotice(
    name="voluntary",
    heading="Voluntary",
    words="own decision",
    reasons=Reasons(ground="", category="STATEMENT_CATEGORY_OTHER_VIOLATION_TC", source="SOURCE_VOLUNTARY"),
    elements=(
        Element("decision", "own decision", "Please say who decided, and why.", ("decision", "reason")),
        Element("material", "own decision", "Please say what is to be removed.", LOCATED),
    ),
)
