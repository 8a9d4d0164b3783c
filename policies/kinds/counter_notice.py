"""A counter-notice under 17 U.S.C. 512(g)(3): it answers a copyright notice."""

from expunge.policies.kinds.kind import BELIEF, LOCATED, REACHED, SIGNED, Element, KindOfNotice

LAW = "17 U.S.C. 512(g)(3)"

KIND = KindOfNotice(
    name="counter_notice",
    heading="Counter-notice",
    words="counter-notice",
    asks=False,
    elements=(
        Element("signature", f"{LAW}(A)", "Please sign the counter-notice, by hand or electronically.", SIGNED),
        Element(
            "material",
            f"{LAW}(B)",
            "Please name the material that was removed, and say where it was.",
            ("removed material", *LOCATED),
        ),
        Element(
            "mistake",
            f"{LAW}(C)",
            "Please state, under penalty of perjury, your good-faith belief that it was removed by mistake or "
            "misidentification.",
            statement=(*BELIEF, r"\bpenalty of perjury\b", r"\b(mistake|misidentification)\b"),
        ),
        Element("contact", f"{LAW}(D)", "Please give your name, address and telephone number.", ("name", *REACHED)),
        Element(
            "jurisdiction",
            f"{LAW}(D)",
            "Please state that you consent to the jurisdiction of the federal district court for your address.",
            statement=(r"\bconsent\b", r"\bjurisdiction\b"),
        ),
        Element(
            "service",
            f"{LAW}(D)",
            "Please state that you will accept service of process from the sender of the notice.",
            statement=(r"\baccept\b", r"\bservice\b"),
        ),
    ),
)
