"""Required elements of each kind of notice, with their sources. To add an element, change this table alone.

This is a working aid and no legal advice: check the official text before you rely on it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from expunge.policies.notices.notice import NoticeKind


@dataclass(frozen=True)
class Element:
    """One thing that a notice must contain.

    `ask` is the sentence that is sent back where it is missing. `labels` are the headings under which a plain text
    may give it. `statement` are the phrases (regular expressions) that one affirmative sentence must all hold.
    """

    name: str
    source: str
    ask: str
    labels: tuple[str, ...] = ()
    statement: tuple[str, ...] = ()


SIGNED = ("signature", "electronic signature", "signed")
REACHED = ("contact", "e-mail", "email", "address", "telephone", "phone")
LOCATED = ("infringing material", "material", "location", "infringing url", "where it is")
BELIEF = (r"\bgood[- ]faith\b", r"\bbelie(f|ve)\b")
DMCA, TAKE_IT_DOWN = "17 U.S.C. 512(c)(3)(A)", "TAKE IT DOWN Act, 3(a)(1)(B)"
COUNTER = "17 U.S.C. 512(g)(3)"
GDPR, DSA = "GDPR", "DSA 16(2)"

REQUIREMENTS: dict[NoticeKind, tuple[Element, ...]] = {
    "copyright": (
        Element("signature", f"{DMCA}(i)", "Please sign the notice, by hand or electronically.", SIGNED),
        Element(
            "work",
            f"{DMCA}(ii)",
            "Please name the copyrighted work, or give a list of the works.",
            ("copyrighted work", "original work", "work", "works"),
        ),
        Element("material", f"{DMCA}(iii)", "Please name the material, and say enough for us to find it.", LOCATED),
        Element("contact", f"{DMCA}(iv)", "Please give an address, telephone number or e-mail address.", REACHED),
        Element(
            "good_faith",
            f"{DMCA}(v)",
            "Please state your good-faith belief that neither the owner, its agent nor the law authorises the use.",
            statement=(*BELIEF, r"\bnot (been )?authori[sz]ed\b"),
        ),
        Element(
            "accuracy",
            f"{DMCA}(vi)",
            "Please state that the information in the notice is accurate.",
            statement=(r"\binformation\b", r"\baccurate\b"),
        ),
        Element(
            "authority",
            f"{DMCA}(vi)",
            "Please state, under penalty of perjury, that you are authorised to act for the owner.",
            statement=(r"\bpenalty of perjury\b", r"(?<!not )\b(authori[sz]ed to act|the owner)\b"),
        ),
    ),
    "ncii": (
        Element(
            "signature", f"{TAKE_IT_DOWN}(i)", "Please have the person shown, or a representative, sign it.", SIGNED
        ),
        Element(
            "material",
            f"{TAKE_IT_DOWN}(ii)",
            "Please say what is shown, and enough for us to find it. Do not send the picture.",
            (*LOCATED, "depiction"),
        ),
        Element(
            "good_faith",
            f"{TAKE_IT_DOWN}(iii)",
            "Please state that you believe in good faith that the depiction is not consensual.",
            statement=(*BELIEF, r"\b(not (been )?consensual|non-?consensual|without (my|the person's) consent)\b"),
        ),
        Element("contact", f"{TAKE_IT_DOWN}(iv)", "Please say how we can reach you.", REACHED),
    ),
    "privacy_erasure": (
        Element("person", f"{GDPR} 17(1)", "Please say whose personal data it is.", ("data subject", "person")),
        Element("material", f"{GDPR} 17(1)", "Please say which data you want erased.", (*LOCATED, "data")),
        Element("ground", f"{GDPR} 17(1)(a)-(f)", "Please say on which ground you ask for erasure.", ("ground",)),
        Element("contact", f"{GDPR} 12(3)", "Please say how we can tell you what was done.", REACHED),
    ),
    "court_order": (
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
    "trademark": (
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
    "voluntary": (
        Element("decision", "own decision", "Please say who decided, and why.", ("decision", "reason")),
        Element("material", "own decision", "Please say what is to be removed.", LOCATED),
    ),
    "counter_notice": (
        Element("signature", f"{COUNTER}(A)", "Please sign the counter-notice, by hand or electronically.", SIGNED),
        Element(
            "material",
            f"{COUNTER}(B)",
            "Please name the material that was removed, and say where it was.",
            ("removed material", *LOCATED),
        ),
        Element(
            "mistake",
            f"{COUNTER}(C)",
            "Please state, under penalty of perjury, your good-faith belief that it was removed by mistake or "
            "misidentification.",
            statement=(*BELIEF, r"\bpenalty of perjury\b", r"\b(mistake|misidentification)\b"),
        ),
        Element("contact", f"{COUNTER}(D)", "Please give your name, address and telephone number.", ("name", *REACHED)),
        Element(
            "jurisdiction",
            f"{COUNTER}(D)",
            "Please state that you consent to the jurisdiction of the federal district court for your address.",
            statement=(r"\bconsent\b", r"\bjurisdiction\b"),
        ),
        Element(
            "service",
            f"{COUNTER}(D)",
            "Please state that you will accept service of process from the sender of the notice.",
            statement=(r"\baccept\b", r"\bservice\b"),
        ),
    ),
    "court_action": (
        Element("court", "17 U.S.C. 512(g)(2)(C)", "Please name the court.", ("court",)),
        Element(
            "case_number",
            "17 U.S.C. 512(g)(2)(C)",
            "Please give the number of the case in which you ask for an order.",
            ("case number", "case"),
        ),
    ),
    "rescission": (
        Element("signature", "common practice", "Please sign the letter, by hand or electronically.", SIGNED),
        Element(
            "withdrawal",
            "common practice",
            "Please state in one plain sentence that you withdraw the notice.",
            statement=(r"\b(withdraw|retract|rescind)\b", r"\bnotice\b"),
        ),
        Element("contact", "common practice", "Please write from the address from which the notice came.", REACHED),
    ),
    "other": (
        Element("explanation", f"{DSA}(a)", "Please explain why you consider it illegal.", ("explanation", "reason")),
        Element("material", f"{DSA}(b)", "Please name the material, and say enough for us to find it.", LOCATED),
        Element("contact", f"{DSA}(c)", "Please give your name and e-mail address.", REACHED),
        Element(
            "good_faith", f"{DSA}(d)", "Please state that you believe in good faith what you say.", statement=BELIEF
        ),
    ),
}


def missing_elements(kind: NoticeKind, found: Collection[str]) -> tuple[Element, ...]:
    """Return the elements that a notice of this kind must contain and that were not found, in the order of the law."""
    return tuple(element for element in REQUIREMENTS[kind] if element.name not in found)
