"""How results look in a terminal; every value comes from the same data that `--json` prints."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from expunge.flows.terminal import Console
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.views.assurances import WORDS_OR_WEIGHTS

console = Console(highlight=False, soft_wrap=True)
console.width = max(console.width, 1000)  # a terminal wraps lines, where a table of its width would cut cells short
EXPLAINED = ("rejected", "suspect", "replaced", "repeated", "countered", "rescinded")
COLOURS = {"PASS": "green", "FAIL": "red", "ERROR": "red", "INCONCLUSIVE": "yellow"}


def print_summary(data: dict[str, Any]) -> None:
    console.print(f"[bold]{escape(data['request_id'])}[/] is valid ({data['kind']}, received {data['received_at']})")
    term = f"{data['due']} ({data['term']})" if data["due"] else "without delay, no law names a time for this kind"
    console.print(f"due    {term}")
    if data["expires"]:
        console.print(f"until  {data['expires']}")
    console.print(f"erase  {_names(data['erase'])}\nkeep   {_names(data['keep'])}\nbase   {escape(data['base'])}")
    if data["replaces"]:
        console.print(f"instead of {escape(', '.join(data['replaces']))}")
    console.print(f"digest {data['digest']}", style="dim")


def print_plan(data: dict[str, Any]) -> None:
    if data["restores"]:
        console.print(
            f"[bold]{escape(data['request_id'])}[/] withdraws the last of what is erased: it would publish the base"
        )
        console.print(f"base {data['base']}", style="dim")
        return
    console.print(f"[bold]{escape(data['request_id'])}[/]: {data['editor']} would change {len(data['layers'])} weights")
    table = make_table("weight", ">change", ">residual", ">drift")
    for layer in data["layers"]:
        figures = (layer.get(key) for key in ("change", "residual", "drift"))  # training tells of the change alone
        table.add_row(layer["name"], *("-" if figure is None else f"{figure:.3f}" for figure in figures))
    console.print(table)
    for trial in data["trials"]:
        if trial["accepted"] is not None:
            console.print(f"tried {escape(_settings(trial))}: {escape(trial['problem']) or 'accepted by pictures'}")
    console.print(f"largest change {data['largest_change']:.3f}, limit {data['limit']}; plan {data['plan'][:16]}")
    console.print(f"deltas {escape(data['deltas'])}", style="dim")
    console.print(
        f"verification would take {data['pictures']} pictures, {data['pictures_in_store']} of them are in the store"
    )
    pace = "not known yet, nothing was drawn here" if data["minutes"] is None else f"{data['minutes']} minutes"
    console.print(f"drawing them would take: {pace}; limit {data['minutes_limit']:g} minutes")
    console.print(f"grade of a PASS: {escape(data['grade'].removeprefix('asked for '))}")
    for sentence in data["unknown"]:
        console.print(f"[bold yellow]unknown[/] {escape(sentence)}")
    if data["unprovable"]:
        cure = ", so it would be refused: ask for more seeds or prompts, or allow more"
        console.print(f"[bold yellow]{data['best']}[/] at best, even if nothing erased is seen{cure}")
        for reason in data["unprovable"]:
            console.print(f"- {escape(reason)}")
    _print_elsewhere(data["elsewhere"])


def print_deployments(data: dict[str, Any]) -> None:
    console.print(f"work pool [bold]{data['pool']}[/] ({data['type']})")
    table = make_table("deployment", "queue", "schedule")
    for one in data["deployments"]:
        table.add_row(one["deployment"], one["queue"], f"{one['schedule']} UTC" if one["schedule"] else "-")
    console.print(table)
    console.print(f"work is done by: prefect worker start --pool {data['pool']}", style="dim")


def print_outcome(data: dict[str, Any]) -> None:
    if data.get("state") == "awaiting_approval":
        print_waiting(data)
        return
    if data["same_as"]:
        request, first = escape(data["request_id"]), escape(data["same_as"])
        console.print(
            f"Nothing to do: {request} asks what {first} asked, which was carried out before{_in_place(data)}."
        )
    elif data["repeated"]:
        console.print(f"Nothing to do: this policy was carried out before{_in_place(data)}.")
    if data["restored"]:
        console.print("[bold]RESTORED[/]: all requests are withdrawn, and the base itself is published")
    elif data["verdict"] is None:
        console.print(f"{escape(data['request_id'])} published the base, and other requests have been published since")
    else:
        _print_verdict(data)
    for reason in data["suspect"]:
        console.print(f"[bold red]suspect[/]  {escape(reason)}")
    for title in ("bundle", "pointer", "mlflow", "prefect", "report"):
        console.print(f"{title:<8} {escape(data[title] or 'none')}")
    _print_elsewhere(data["elsewhere"])


def print_waiting(data: dict[str, Any]) -> None:
    if data["verdict"]:
        _print_verdict(data)
    console.print(f"[bold yellow]AWAITING APPROVAL[/]: nothing is published. {escape(data['how'])}")
    for title in ("bundle", "report"):
        console.print(f"{title:<8} {escape(data[title] or 'none')}")


def _in_place(data: dict[str, Any]) -> str:
    if not data["verdict"]:
        return ""
    if data["superseded"]:
        return ", and is in force in the bundle that was published for a later request"
    return ", and what it published is still in place"


def _print_elsewhere(found: dict[str, list[str]]) -> None:
    for line, requests in found.items():
        console.print(
            f"[bold yellow]the first request on this base[/]: what is in force on {escape(line)} "
            f"({escape(', '.join(requests))}) does not hold for it; if it is the same model, submit that for it too"
        )


def print_examination(data: dict[str, Any]) -> None:
    _print_verdict(data)
    for reason in data["reasons"]:
        console.print(f"- {escape(reason)}")
    console.print(f"level    {data['level']}, {data['pictures']} pictures judged")
    if data["unread"]:
        console.print(f"unasked  {len(data['unread'])} questions are too long for the model's text encoder")
    for title in ("model", "bundle", "base", "judge", "evidence", "report"):
        console.print(f"{title:<8} {escape(data[title])}" if data[title] else f"{title:<8} none")


def _print_verdict(data: dict[str, Any]) -> None:
    colour = COLOURS.get(data["verdict"], "white")
    console.print(f"[bold {colour}]{data['verdict']}[/] for {escape(data['request_id'])}")
    console.print(escape(data["headline"]))
    for sentence in data["sentences"]:
        console.print(f"- {escape(sentence)}")
    console.print(f"grade    {escape(data['grade'])}")
    console.print(WORDS_OR_WEIGHTS, style="dim")


def print_states(data: dict[str, Any]) -> None:
    console.print(f"home {escape(data['home'])}", style="dim")
    for problem in data["problems"]:
        console.print(f"[bold red]nothing can be told of a line[/]: {escape(problem)}; see `expunge audit`")
    for problem in data["database"]:
        console.print(f"[bold yellow]{escape(problem)}[/]")
    _print_notices(data["notices"])
    if not data["requests"]:
        console.print("No request is on record here.")
        return
    table = make_table("request", "line", "state", "verdict", "at", "due", "receipt", "proven again by")
    for row in data["requests"]:
        state = "[bold red]suspect[/]" if row["state"] == "suspect" else row["state"]
        cells = [escape(row["request_id"]), escape(row["line"]), state, row["verdict"] or "", row["at"]]
        table.add_row(*cells, _due(row), row["receipt"][:12], _again(row))
    console.print(table)
    for row in data["requests"]:
        if row["ends"]:
            console.print(f"{escape(row['request_id'])}: {row['ends']}, {row['expires']}")
        if row["grade"]:
            console.print(f"{escape(row['request_id'])}: {row['verdict']}, {escape(row['grade'])}")
        for reason in row["reasons"] if row["state"] in EXPLAINED else ():
            console.print(f"- {escape(row['request_id'])}: {escape(reason)}")
        for one in row["amends"]:
            changed = (
                "not known, a policy is lost" if one["changes"] is None else "; ".join(one["changes"]) or "nothing"
            )
            amendment = f"takes the place of {one['request_id']}, on {one['at']} by {one['who']}. Changed: {changed}"
            console.print(f"- {escape(row['request_id'])}: {escape(amendment)}")
    if any(row["grade"] for row in data["requests"]):
        console.print(WORDS_OR_WEIGHTS, style="dim")


def _print_notices(notices: list[dict[str, Any]]) -> None:
    if not notices:
        return
    table = make_table("notice", "kind", "state", "received", "due", "missing")
    for row in notices:
        cells = (row["kind"], row["state"], row["received_at"], row["due"] or "", ", ".join(row["missing"]))
        table.add_row(escape(row["request_id"]), *cells)
    console.print(table)


def _due(row: dict[str, Any]) -> str:
    if not row["policy_kept"]:
        return "[bold red]not known, the policy was lost or altered[/]"
    return f"[bold red]{row['due']} late[/]" if row["late"] else row["due"] or ""


def _again(row: dict[str, Any]) -> str:
    return f"[bold red]{row['proof_due']} late[/]" if row["proof_late"] else row["proof_due"] or ""


def print_checks(data: dict[str, Any]) -> None:
    if not data["lines"]:
        console.print("Nothing is due.")
        return
    table = make_table("line", "outcome", "bundle", "checked", "proven again by")
    for row in data["lines"]:
        table.add_row(row["line"], *(_of_a_base(row) if row["restored"] else _of_an_edit(row)))
    console.print(table)
    for row in data["lines"]:
        if row["problem"]:
            console.print(f"- {escape(row['line'])}: {escape(row['problem'])}")
        console.print(f"report   {escape(row['report'])}" if row["report"] else "report   none")


def print_reconciled(data: dict[str, Any]) -> None:
    from expunge.tasks.reconcile.finding import Done

    for row in data["findings"]:
        colour = "red" if row["done"] in (Done.LEFT, Done.UNREACHED) else "green"
        where = f"{row['place']}, {escape(row['where'])}"
        console.print(f"[{colour}]{row['done']}[/]  {where}: {escape(row['what'])}")
    result = "something is left, see above" if data["exit_code"] else "nothing is left to do"
    console.print(f"{len(data['lines'])} lines: {result}")


def _of_an_edit(row: dict[str, Any]) -> tuple[str, ...]:
    bad = "suspect" if row["suspect"] else "not checked" if row["problem"] else ""
    result = f"[bold red]{bad}[/]" if bad else "[bold green]PASS[/]"
    bundle = row["bundle"] or "not known"
    return result, bundle[:16], row["checked"] or "never", row["proof_due"] or "not known"


def _of_a_base(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of a base: it is looked at, and the look leaves no trace."""
    bad = "not as published" if row["exit_code"] == IntegrityError.exit_code else "not checked"
    result, looked = (f"[bold red]{bad}[/]", "never") if row["problem"] else ("the base", "now")
    return result, row["bundle"][:16], looked, "nothing to prove"


def print_audit(data: dict[str, Any]) -> None:
    table = make_table("line", ">receipts", ">signed", ">concluded", ">rederived", ">published", "head")
    for line in data["lines"]:
        counts = (str(line[name]) for name in ("receipts", "signed", "concluded", "rederived", "published"))
        table.add_row(escape(line["line"]), *counts, line["head"])
    console.print(table)
    if data["compared_with"]:
        console.print(f"compared with {escape(data['compared_with'])}")
    _print_problems(data["problems"], data["unchecked"])
    for remark in data["remarks"]:
        console.print(f"note: {escape(remark)}")


def print_migration(data: dict[str, Any]) -> None:
    done = f"{data['copied']} files copied" if data["copied"] else "nothing to copy, it was done before"
    print_fields({name: data[name] for name in ("old", "home")} | {"done": done})
    left = ", ".join(data["left"]) or "nothing"
    stored = "no S3 is configured" if data["stored"] is None else f"{data['stored']} files copied to S3"
    print_fields({"left": f"{left} (made again when it is needed)", "record": stored, "database": data["database"]})
    print_audit({**data, "compared_with": None, "remarks": data["notes"]})


def _print_problems(problems: list[str], unchecked: list[str]) -> None:
    found = "[bold green]WHOLE[/]" if not problems else "[bold red]NOT WHOLE[/]"
    console.print(found + (f", not checked: {escape('; '.join(unchecked))}" if unchecked else ""))
    for problem in problems:
        console.print(f"- {escape(problem)}")


def print_bundle(data: dict[str, Any]) -> None:
    print_fields({name: value for name, value in data.items() if name not in ("problems", "unchecked", "exit_code")})
    _print_problems(data["problems"], data["unchecked"])


def print_trail(data: dict[str, Any]) -> None:
    table = make_table("when", "what", "by", "receipt")
    for row in data["receipts"]:
        what = f"{row['words']}: {row['outcome'].replace('_', ' ')}" if row["outcome"] else row["words"]
        table.add_row(row["at"], escape(what), escape(row["by"] or row["who"]), row["receipt"][:12])
    console.print(table)
    for row in data["receipts"]:
        for reason in row["reasons"]:
            console.print(f"- {row['receipt'][:12]}: {escape(reason)}")
    if data["zip"]:
        console.print(f"written to {escape(data['zip'])}")


def print_says(data: dict[str, Any]) -> None:
    for sentence in data["says"]:
        console.print(escape(sentence))
    if data.get("verdict"):
        console.print(f"[bold {COLOURS.get(data['verdict'], 'white')}]{data['verdict']}[/] by this evidence")
        for reason in data["reasons"]:
            console.print(f"- {escape(reason)}")
        console.print(f"evidence {data['evidence']}\nreceipt  {data['receipt']}", style="dim")


def print_fields(data: dict[str, Any]) -> None:
    """Print one line a field."""
    for name, value in data.items():
        console.print(f"{name:<8} {escape(str(value))}")


def make_table(*titles: str) -> Table:
    """Return an empty table; a title that begins with > is of a column of figures."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for title in titles:
        table.add_column(title.lstrip(">"), justify="right" if title.startswith(">") else "left")
    return table


def _settings(trial: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in trial["settings"].items())


def _names(items: list[dict[str, Any]]) -> str:
    return escape(", ".join(item["name"] for item in items)) or "nothing"
