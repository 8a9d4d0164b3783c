"""A rescission: the sender of a notice takes it back."""

from expunge.policies.kinds.kind import REACHED, SIGNED, Element, KindOfNotice

KIND = KindOfNotice(
    name="rescission",
    heading="Notice taken back",
    words="letter by which a notice is taken back",
    asks=False,
    elements=(
        Element("signature", "common practice", "Please sign the letter, by hand or electronically.", SIGNED),
        Element(
            "withdrawal",
            "common practice",
            "Please state in one plain sentence that you withdraw the notice.",
            statement=(r"\b(withdraw|retract|rescind)\b", r"\bnotice\b"),
        ),
        Element("contact", "common practice", "Please write from the address from which the notice came.", REACHED),
    ),
)
