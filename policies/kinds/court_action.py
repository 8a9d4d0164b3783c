"""News of a court action under 17 U.S.C. 512(g)(2)(C): it ends a counter-notice."""

from expunge.policies.kinds.kind import Element, KindOfNotice

LAW = "17 U.S.C. 512(g)(2)(C)"

KIND = KindOfNotice(
    name="court_action",
    heading="News of a court action",
    words="news of a court action",
    asks=False,
    elements=(
        Element("court", LAW, "Please name the court.", ("court",)),
        Element(
            "case_number",
            LAW,
            "Please give the number of the case in which you ask for an order.",
            ("case number", "case"),
        ),
    ),
)
