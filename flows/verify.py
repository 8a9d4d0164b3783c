"""The verification behind `expunge verify`: the pipeline's questions and statistics on any model, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.policies import Policy
from expunge.policies.model.schema import Level
from expunge.tasks.core.base_model import locate
from expunge.tasks.core.machine.fork_server import start_fork_server
from expunge.tasks.core.settings import workers
from expunge.tasks.storage.external_model import declared_edit, folder_for, given_model, hand_out


def verify(
    folder: Path, policy: Policy, home: Path, out: Path | None, level: Level | None = None, published: str = ""
) -> dict[str, Any]:
    """Ask the policy's base and the model in `folder` the same, judge one against the other, and write it down.

    Pictures that the store in `home` has are not drawn again. Verdict, evidence, quality and report are put into `out`,
    or stay in the home; `level` takes the place of the policy's own. Raises IntegrityError on a bundle that is not as
    published, or not the one with the digest `published`, LimitExceeded beyond the policy's budget.
    """
    folder_for(out, folder)
    model, bundle = given_model(folder.absolute(), published)
    locate(policy)
    if workers() > 1:
        start_fork_server()
    from expunge.tasks.evidence.conclude import conclude
    from expunge.tasks.evidence.gather import gather_evidence
    from expunge.tasks.evidence.identity import compare_with_base, refuse_unreadable
    from expunge.tasks.intake import order_for
    from expunge.tasks.ledger.case import open_case
    from expunge.tasks.report import write_report
    from expunge.tasks.views.outcome import examined

    order = order_for(model.digest, policy, home, level)
    if not bundle:
        refuse_unreadable(model)
    comparison = compare_with_base(order, model, declared_edit(folder.absolute()))
    evidence = gather_evidence(order, model)
    verdict = conclude(order, model, comparison, evidence).verdict
    write_report(open_case(order), model.digest, verdict, evidence)
    return examined(order, verdict, model.digest, bundle, hand_out(order, out))
