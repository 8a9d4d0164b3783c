"""A court order. It says itself by when it must be obeyed."""

from expunge.policies.kinds.kind import LOCATED, Element, KindOfNotice

KIND = KindOfNotice(
    name="court_order",
    heading="Court order",
    words="court order",
    goes_on=True,
    lumen="CourtOrder",
    elements=(
        Element("court", "the order itself", "Please name the court.", ("court",)),
        Element("case_number", "the order itself", "Please give the number of the case.", ("case number", "case")),
        Element("material", "the order itself", "Please say what the order wants removed.", LOCATED),
        Element(
            "due_at",
            "the order itself",
            'Please give the date by which it must be obeyed, with time and zone, such as "2026-01-31T17:00:00Z".',
            ("comply by", "due"),
        ),
    ),
)
