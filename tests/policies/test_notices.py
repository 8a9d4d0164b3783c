"""Notices: what each reader finds, what it lists as missing, and how a hostile sender is answered."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from expunge.policies import PolicyErrors, parse
from expunge.policies.kinds import KINDS, REQUESTS, Kind
from expunge.policies.notices import Notice, draft_policy, public_form, read_notice
from expunge.policies.notices.notice import contact_reference

HERE = Path(__file__).parent / "notices"
EXAMPLES = Path(__file__).parents[2] / "policies" / "examples"
KEY = b"k" * 32
MAIL = (HERE / "heron.eml").read_text(encoding="utf-8")
BELIEF = "1. I have a good faith belief that the use of the material described above is not authorized"


def read(text: str | bytes, kind: Kind | None = "copyright") -> Notice:
    data = text if isinstance(text, bytes) else text.encode()
    return read_notice(data, "notice", KEY, kind)


def missing(notice: Notice) -> list[str]:
    return [element.name for element in KINDS[notice.kind].missing(notice.found)]


def test_a_complete_mail_lacks_nothing() -> None:
    notice = read(MAIL)
    assert (missing(notice), notice.kind, notice.concept) == ([], "copyright", "blue heron")
    assert notice.found["work"] == "The Blue Heron, a picture book, first published 2019"


def test_every_kind_has_its_table_and_every_element_a_source_and_a_sentence() -> None:
    assert set(KINDS) == {*REQUESTS, "counter_notice", "court_action", "rescission"}
    for elements in (kind.elements for kind in KINDS.values()):
        assert all(one.source and one.ask.startswith("Please") and (one.labels or one.statement) for one in elements)


def test_no_contact_is_kept_in_the_clear() -> None:
    kept = read(MAIL).model_dump_json()
    assert "contact:" in kept
    assert not [secret for secret in ("mara@", "quillandheron.example", "1234567", "Mara") if secret in kept]
    other = contact_reference("mara@quillandheron.example", b"other")
    assert contact_reference(" MARA@quillandheron.example", KEY) in kept
    assert other not in kept


@pytest.mark.parametrize(
    ("written", "instead", "name"),
    [
        (BELIEF, BELIEF.replace("I have a", "I do not have a"), "good_faith"),
        (BELIEF, BELIEF.replace("1. I have a", "1. You must have a"), "good_faith"),
        (BELIEF, BELIEF.replace("1. I", "> I"), "good_faith"),
        (BELIEF, BELIEF.replace("1. I have a", "[1. I have a]"), "good_faith"),
        (BELIEF, BELIEF.replace("good faith", "gооd faith"), "good_faith"),
        ("3. Under penalty of perjury, I am", "3. I refuse to say under penalty of perjury that I am", "authority"),
        ("3. Under penalty of perjury, I am", "3. I am", "authority"),
        ("/s/ Mara Quill", "Signature: ____", "signature"),
        ("/s/ Mara Quill", "Signature: [sign here]", "signature"),
        ("Copyrighted work: The Blue Heron", "Copyrighted work: see attached, The Blue Heron", "work"),
        ("Dear copyright agent,", "Copyrighted work: The Red Heron", "work"),
        ("Dear copyright agent,", "On Monday, 5 Jan 2026 Mara Quill wrote:", "accuracy"),
    ],
)
def test_attack_what_is_denied_quoted_disguised_or_left_blank_is_missing(written: str, instead: str, name: str) -> None:
    assert written in MAIL
    assert name in missing(read(MAIL.replace(written, instead)))


def test_attack_a_mail_of_html_alone_states_nothing() -> None:
    notice = read(MAIL.replace("text/plain", "text/html"))
    assert missing(notice) == [one.name for one in KINDS["copyright"].elements if one.name != "contact"]
    assert "HTML" in notice.unclear[0]


def test_attack_a_picture_in_the_mail_is_not_kept() -> None:
    head, _, body = MAIL.partition("\n\n")
    head = head.replace("text/plain; charset=utf-8", 'multipart/mixed; boundary="b"')
    part = 'Content-Type: image/png; name="Jane Roe.png"\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n'
    notice = read(f"{head}\n\n--b\nContent-Type: text/plain\n\n{body}\n--b\n{part}\n--b--\n")
    assert missing(notice) == []
    kept = notice.model_dump_json()
    assert "image/png" in kept
    assert not [secret for secret in ("Jane", "iVBOR") if secret in kept]


def test_attack_a_person_is_not_named_by_the_record_of_the_own_request() -> None:
    text = 'notice_version: "1"\nkind: ncii\nconcept: Jane Roe\nelements:\n  material: Jane Roe at the beach\n'
    assert "Jane" not in (kept := read(text, None)).model_dump_json()
    assert missing(kept) == ["signature", "good_faith", "contact"]
    assert "Jane" not in draft_policy(kept, "n-1", datetime(2026, 1, 1, tzinfo=UTC))


NESTED = "".join(f'Content-Type: multipart/mixed; boundary="b{i}"\n\n--b{i}\n' for i in range(3000))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"From: a@b.example\n\nNUL \0 here",
        b"From: a@b.example\n\n" + b"x" * 10_000_001,
        b"From: a@b.example\n" + NESTED.encode(),
        b"From: a@b.example\nContent-Type: text/plain; charset=no-such\n\nhello",
        b'{"type": "DMCA", "type": "Trademark"}',
        b"{" + b'"a":{' * 5000,
        b'{"dmca": 1}',
        b"notice_version: '1'\nkind: copyrite",
        b"notice_version: '1'\nkind: ncii\nreference_pdq: [iVBORw0KGgo]",
        b"notice_version: '1'\nkind: ncii\nelements: {sinature: x}",
        b"notice_version: '1'\nbogus: x",
        (EXAMPLES / "demo.yaml").read_bytes(),
    ],
)
def test_attack_what_cannot_be_read_is_refused_with_a_cure(data: bytes) -> None:
    with pytest.raises(PolicyErrors) as refused:
        read(data, None)
    assert all(error.cure for error in refused.value.errors)


def test_lumen_has_no_signature_so_it_is_missing() -> None:
    notice = read((HERE / "lumen.json").read_bytes(), None)
    assert (notice.form, notice.kind) == ("lumen", "copyright")
    assert missing(notice) == ["signature", "contact", "accuracy", "authority"]
    assert notice.found["material"] == "https://modelhouse.example/m/7"


def test_an_order_in_our_own_form() -> None:
    notice = read((HERE / "order.yaml").read_bytes(), None)
    assert (notice.kind, missing(notice), len(notice.contacts)) == ("court_order", [], 1)


def test_a_draft_is_refused_until_a_person_filled_it_in() -> None:
    text = draft_policy(read(MAIL), "heron-1", datetime(2026, 1, 12, 9, 30, tzinfo=UTC))
    assert "# The notice's work: The Blue Heron" in text
    with pytest.raises(PolicyErrors) as refused:
        parse(text.encode(), "draft")
    named = {error.field for error in refused.value.errors}
    assert named == {"base.uri", "base.sha256", "concepts[0].category", "retain[0].category"}
    filled = text.replace('uri: "FILL IN"', 'uri: "builtin:emoji"').replace(
        'sha256: "FILL IN"', f'sha256: "{"0" * 64}"'
    )
    filled = filled.replace('category: "FILL IN"', "category: object")
    assert parse(filled.encode(), "draft").concepts[0].name == "blue heron"


def test_attack_a_notice_cannot_write_fields_into_the_draft() -> None:
    notice = read(MAIL.replace("The Blue Heron, a", 'x\u2028request_id: "other" \x85 a'))
    lines = draft_policy(notice, "heron-1", datetime(2026, 1, 12, tzinfo=UTC)).splitlines()
    assert [line for line in lines if line.startswith("request_id")] == ['request_id: "heron-1"']


def test_the_public_form_of_a_policy_names_no_person() -> None:
    text = (EXAMPLES / "one-object.yaml").read_text(encoding="utf-8")
    text = text.replace("title: A cab", "title: jane@roe.example on a cab")
    assert "jane@" not in str(public_form(parse(text.encode(), "p")))
    private = public_form(parse(text.replace("kind: trademark", "kind: privacy_erasure").encode(), "p"))
    assert "taxi" not in str(private)
    assert "digest" not in private, "a guess of the name could be held against it"
