"""Intimate pictures without consent: a request under the TAKE IT DOWN Act."""

from datetime import timedelta

from expunge.policies.kinds.kind import BELIEF, LOCATED, REACHED, SIGNED, Element, KindOfNotice, Reasons, Term

LAW = "TAKE IT DOWN Act, 3(a)(1)(B)"

KIND = KindOfNotice(
    name="ncii",
    heading="Intimate pictures (TAKE IT DOWN Act)",
    words="notice of an intimate picture without consent",
    term=Term("48 hours, TAKE IT DOWN Act 3(a)", lambda received: received + timedelta(hours=48)),
    protects_a_person=True,
    lasts_by="TAKE IT DOWN Act 3",
    goes_on=True,
    lumen="PrivateInformation",
    lumen_is_wider=True,
    reasons=Reasons(
        ground="Laws against the publication of intimate pictures without consent, as a notice states",
        category="STATEMENT_CATEGORY_CYBER_VIOLENCE",
        keyword="KEYWORD_NON_CONSENSUAL_MATERIAL_DEEPFAKE",
    ),
    elements=(
        Element("signature", f"{LAW}(i)", "Please have the person shown, or a representative, sign it.", SIGNED),
        Element(
            "material",
            f"{LAW}(ii)",
            "Please say what is shown, and enough for us to find it. Do not send the picture.",
            (*LOCATED, "depiction"),
        ),
        Element(
            "good_faith",
            f"{LAW}(iii)",
            "Please state that you believe in good faith that the depiction is not consensual.",
            statement=(*BELIEF, r"\b(not (been )?consensual|non-?consensual|without (my|the person's) consent)\b"),
        ),
        Element("contact", f"{LAW}(iv)", "Please say how we can reach you.", REACHED),
    ),
)
