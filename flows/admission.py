"""Cheap checks before heavy imports: a policy whose base or judge is not there is refused within a second."""

from __future__ import annotations

from pathlib import Path

from expunge.policies import Policy, parse
from expunge.tasks.core.base_model import locate, refuse_too_large
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.settings import Settings


def refuse_early(path: Path, policy: Policy, settings: Settings) -> None:
    """Refuse a policy whose base or judge is missing, unsound or another; the refusal is on record, in S3 too.

    The flow checks the same again. Raises what `locate` raises, and ServiceUnreachable where S3 cannot take the record.
    """
    try:
        refuse_too_large(locate(policy)[0])
    except Exception:
        _record_refusal(path, policy, settings)
        raise


def _record_refusal(path: Path, policy: Policy, settings: Settings) -> None:
    """Raise the refusal again, with a receipt. What could not be put on record in the end is not begun."""
    from expunge.tasks.ledger.admission import admitting
    from expunge.tasks.ledger.line.head import sharing
    from expunge.tasks.ledger.line.lock import alone_on
    from expunge.tasks.ledger.queries import line_of
    from expunge.tasks.ledger.recorder import journal
    from expunge.tasks.storage.record.shared import RecordInS3
    from expunge.tasks.storage.record_replica import store, stored

    data, home = path.read_bytes(), settings.home
    if parse(data, str(path)).digest != policy.digest:
        raise IntegrityError(f"{path.name} changed since it was read: submit it again")
    line = line_of(policy, home)
    with sharing(home, RecordInS3.own(settings)), alone_on(line, home):
        store(settings)
        with stored(settings), admitting(policy, data, home, journal(home, line)):
            refuse_too_large(locate(policy)[0])
