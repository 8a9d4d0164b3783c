"""Copyright: a notice under 17 U.S.C. 512(c)(3), the DMCA."""

from expunge.policies.kinds.kind import BELIEF, LOCATED, REACHED, SIGNED, Element, KindOfNotice, Reasons

LAW = "17 U.S.C. 512(c)(3)(A)"

KIND = KindOfNotice(
    name="copyright",
    heading="Copyright (DMCA)",
    words="copyright notice",
    is_countered=True,
    lumen="DMCA",
    reasons=Reasons(
        ground="Copyright law, as a notice with the elements of 17 U.S.C. 512(c)(3) or of DSA 16(2) states",
        category="STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
        keyword="KEYWORD_COPYRIGHT_INFRINGEMENT",
    ),
    elements=(
        Element("signature", f"{LAW}(i)", "Please sign the notice, by hand or electronically.", SIGNED),
        Element(
            "work",
            f"{LAW}(ii)",
            "Please name the copyrighted work, or give a list of the works.",
            ("copyrighted work", "original work", "work", "works"),
        ),
        Element("material", f"{LAW}(iii)", "Please name the material, and say enough for us to find it.", LOCATED),
        Element("contact", f"{LAW}(iv)", "Please give an address, telephone number or e-mail address.", REACHED),
        Element(
            "good_faith",
            f"{LAW}(v)",
            "Please state your good-faith belief that neither the owner, its agent nor the law authorises the use.",
            statement=(*BELIEF, r"\bnot (been )?authori[sz]ed\b"),
        ),
        Element(
            "accuracy",
            f"{LAW}(vi)",
            "Please state that the information in the notice is accurate.",
            statement=(r"\binformation\b", r"\baccurate\b"),
        ),
        Element(
            "authority",
            f"{LAW}(vi)",
            "Please state, under penalty of perjury, that you are authorised to act for the owner.",
            statement=(r"\bpenalty of perjury\b", r"(?<!not )\b(authori[sz]ed to act|the owner)\b"),
        ),
    ),
)
