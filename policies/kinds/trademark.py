"""Trademark: a notice under DSA, Article 16, with the mark's registration."""

from expunge.policies.kinds.kind import BELIEF, DSA, LOCATED, REACHED, SIGNED, Element, KindOfNotice, Reasons

KIND = KindOfNotice(
    name="trademark",
    heading="Trademark",
    words="trademark notice",
    lumen="Trademark",
    reasons=Reasons(
        ground="Trademark law, as a notice states",
        category="STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
        keyword="KEYWORD_TRADEMARK_INFRINGEMENT",
    ),
    elements=(
        Element("signature", DSA, "Please sign the notice.", SIGNED),
        Element("mark", "common practice", "Please name the mark.", ("trademark", "mark")),
        Element(
            "registration",
            "common practice",
            "Please give the register and the number of the mark.",
            ("registration", "registration number"),
        ),
        Element("material", f"{DSA}(b)", "Please name the material, and say enough for us to find it.", LOCATED),
        Element("contact", f"{DSA}(c)", "Please give your name and e-mail address.", REACHED),
        Element(
            "good_faith", f"{DSA}(d)", "Please state that you believe in good faith what you say.", statement=BELIEF
        ),
    ),
)
