"""Any other request: a notice under DSA, Article 16, of what its sender considers illegal."""

from expunge.policies.kinds.kind import BELIEF, DSA, LOCATED, REACHED, Element, KindOfNotice, Reasons

KIND = KindOfNotice(
    name="other",
    heading="Other",
    words="other request",
    lumen="Other",
    lumen_is_wider=True,
    reasons=Reasons(
        ground="The law that a notice under DSA 16 names", category="STATEMENT_CATEGORY_NOT_SPECIFIED_NOTICE"
    ),
    elements=(
        Element("explanation", f"{DSA}(a)", "Please explain why you consider it illegal.", ("explanation", "reason")),
        Element("material", f"{DSA}(b)", "Please name the material, and say enough for us to find it.", LOCATED),
        Element("contact", f"{DSA}(c)", "Please give your name and e-mail address.", REACHED),
        Element(
            "good_faith", f"{DSA}(d)", "Please state that you believe in good faith what you say.", statement=BELIEF
        ),
    ),
)
