"""`olrsearch audit …`: which stored labels are wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olrsearch.api.labels import VALUE_NAMES
from olrsearch.apps.cli import audit_decisions
from olrsearch.apps.cli.common import Group, emit_json, examples, open_store, say, say_notes, split_names
from olrsearch.apps.cli.search import check_sheets

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch import AuditedEntry, AuditReport, ErrorCount, LabelIssues

_VALUE = click.Choice(["present", "absent"])
_run_option = click.option("--run", "run", metavar="NAME", help="Of the audit; the newest by default.")


def _json_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--json", "as_json", is_flag=True, help=f"One JSON object{what}.")


def _choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What entries a list or a sheet is of."""
    for option in (
        _run_option,
        click.option("--reviewed", is_flag=True, help="Also entries that people have judged."),
        click.option("--unknown", is_flag=True, help="Suggestions for entries nobody has labelled."),
        click.option("--given", type=_VALUE, help="Only entries that are stored so."),
        click.option(
            "-k", "--count", type=click.IntRange(min=1), default=20, show_default=True, help="How many."
        ),
    ):
        command = option(command)
    return command


@click.group("audit", cls=Group)
def audit_command() -> None:
    """Find stored labels that are wrong, count them, and decide on them."""


@audit_command.command("run", epilog=examples("olrsearch audit run --labels Eyeglasses,Smiling"))
@click.option("--labels", help="Only these labels, comma-separated; all that are stored by default.")
@click.option("--where", help="Only images this selects, e.g. \"partition = 'test'\".")
@click.option("--scorers", help="What to ask, comma-separated; all that can be asked by default.")
@click.option(
    "--rules", type=click.Path(path_type=Path), help="A file of your own rules: never: Bald & Bangs."
)
@click.option(
    "--weights",
    metavar="annotators|injected|FILE",
    help="What evidence is worth: by second annotations of the same pictures (the default); learnt from "
    "errors put into a copy of the labels, in as long again; or from another audit's run.json.",
)
@click.option("--folds", type=click.IntRange(min=2), help="Folds of identities; 5 by default.")
@click.option("--seed", type=click.IntRange(min=0), help="Of everything random; 0 by default.")
@click.option("--resume", is_flag=True, help="Go on with the newest audit that was not finished.")
@click.option("--space", help="Name or fingerprint; the newest of label embeddings.")
@_json_option("")
@click.pass_context
def run(
    ctx: click.Context,
    labels: str | None,
    where: str | None,
    scorers: str | None,
    rules: Path | None,
    weights: str | None,
    folds: int | None,
    seed: int | None,
    resume: bool,
    space: str | None,
    as_json: bool,
) -> None:
    """Ask every scorer about every stored label, and weigh what they say.

    Takes minutes; what is done is kept, and --resume goes on after an interruption.
    """
    with open_store(ctx) as store:
        report = store.audit.run(
            space=space,
            labels=split_names(labels),
            where=where,
            scorers=split_names(scorers),
            rules=rules,
            weights=weights,
            folds=folds,
            seed=seed,
            resume=resume,
        )
    _print_report(report, as_json=as_json)


@audit_command.command("refit", epilog=examples("olrsearch audit refit"))
@_run_option
@_json_option("")
@click.pass_context
def refit(ctx: click.Context, run: str | None, as_json: bool) -> None:
    """Weigh, rank and estimate again with what was decided since, in seconds; no scorer is asked."""
    with open_store(ctx) as store:
        report = store.audit.refit(run)
    _print_report(report, as_json=as_json)


@audit_command.command(
    "list", epilog=examples("olrsearch audit list --label Eyeglasses -k 50 --csv review.csv")
)
@click.option("--label", help="Only of this label; of all by default.")
@_choice_options
@click.option("--suggested", type=_VALUE, help="Only entries that the evidence finds so.")
@click.option(
    "--offset", type=click.IntRange(min=0), default=0, show_default=True, help="Skip this many entries."
)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path),
    help="Also write them as a file of decisions to fill in (olrsearch audit decide --from).",
)
@_json_option(" an entry")
@click.pass_context
def list_issues(
    ctx: click.Context,
    label: str | None,
    count: int,
    given: str | None,
    unknown: bool,
    reviewed: bool,
    run: str | None,
    suggested: str | None,
    offset: int,
    table: Path | None,
    as_json: bool,
) -> None:
    """The entries that are most likely wrong, most suspicious first.

    The score is the probability of what is stored. Entries that were judged, or changed since the
    audit, are left out.
    """
    with open_store(ctx, read_only=True) as store:
        found = store.audit.list(
            label,
            count,
            offset=offset,
            given=given,
            suggested=suggested,
            unknown=unknown,
            reviewed=reviewed,
            run=run,
        )
        # Before anything is printed: whoever reads only the first lines still gets the whole table.
        written = None if table is None else store.audit.table(found, table)
        say_notes(found.notes)
        _print_issues(found, as_json=as_json)
        if written is not None:
            say(f"table: {written}")


@audit_command.command("show", epilog=examples("olrsearch audit show 000001.jpg Eyeglasses --out entry.html"))
@click.argument("image")
@click.argument("label")
@click.option("--out", type=click.Path(path_type=Path), help="Also a page with pictures, .html or .png.")
@_run_option
@_json_option("")
@click.pass_context
def show(
    ctx: click.Context, image: str, label: str, out: Path | None, run: str | None, as_json: bool
) -> None:
    """What every scorer says of LABEL in IMAGE, and why; what was decided about it."""
    check_sheets(() if out is None else (out,))
    with open_store(ctx, read_only=True) as store:
        found = store.audit.show(image, label, run=run)
        say_notes(found.notes)
        if as_json:
            emit_json(found.to_dict())
        else:
            _print_entry(found)
        if out is not None:
            say(f"sheet: {store.audit.card(found, out)}")


@audit_command.command("summary", epilog=examples("olrsearch audit summary"))
@_run_option
@_json_option(" a label")
@click.pass_context
def summary(ctx: click.Context, run: str | None, as_json: bool) -> None:
    """How many entries of each label are wrong, in each direction, with 90 % intervals."""
    with open_store(ctx, read_only=True) as store:
        found = store.audit.summary(run=run)
    say_notes(found.notes)
    if as_json:
        for row in found:
            emit_json(row.to_dict())
        return
    width = max((len(row.label) for row in found), default=5)
    click.echo(
        f"{'label':<{width}}  {'entries':>9}  {'wrongly present':>24}  {'wrongly absent':>24}  "
        "reviewed  wrong"
    )
    for row in found:
        click.echo(
            f"{row.label:<{width}}  {row.entries:>9,}  {_counted(row.false_present):>24}  "
            f"{_counted(row.false_absent):>24}  {row.reviewed:>8,}  {row.wrong:>5,}"
            + ("" if row.identifiable else "  (the evidence can hardly tell)")
        )


@audit_command.command("rules", epilog=examples("olrsearch audit rules"))
@click.option("--rules", type=click.Path(path_type=Path), help="Your own rules first, from this file.")
@_json_option(" a rule")
@click.pass_context
def rules_command(ctx: click.Context, rules: Path | None, as_json: bool) -> None:
    """Rules that the stored labels follow, and how often they are broken. Needs no audit."""
    with open_store(ctx, read_only=True) as store:
        found = store.audit.rules(rules)
    if as_json:
        for rule in found:
            emit_json(rule.to_dict())
        return
    for rule in found:
        shown = f"  {', '.join(rule.examples)}" if rule.examples else ""
        click.echo(f"{rule.violations:>6,}  {rule.text}{shown}")
    if not found:
        say("the stored labels follow no rule")


@audit_command.command(
    "sheet", epilog=examples("olrsearch audit sheet suspects.html --label Eyeglasses --label Smiling")
)
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--label", "labels", multiple=True, help="A section for this label (repeatable); else one over all."
)
@_choice_options
@click.pass_context
def sheet(
    ctx: click.Context,
    out: Path,
    labels: tuple[str, ...],
    count: int,
    given: str | None,
    unknown: bool,
    reviewed: bool,
    run: str | None,
) -> None:
    """Pictures of the most suspicious entries: OUT ends in .html or .png.

    With what every scorer says, and beside each picture images that are much like it and labelled
    the other way.
    """
    check_sheets((out,))
    with open_store(ctx, read_only=True) as store:
        path = store.audit.sheet(
            out, labels=labels, k=count, given=given, unknown=unknown, reviewed=reviewed, run=run
        )
    say(f"sheet: {path}")


@audit_command.command("runs", epilog=examples("olrsearch audit runs"))
@_json_option(" an audit")
@click.pass_context
def runs(ctx: click.Context, as_json: bool) -> None:
    """The audits of the store, the oldest first."""
    with open_store(ctx, read_only=True) as store:
        found = store.audit.runs()
    if as_json:
        for item in found:
            emit_json(item.to_dict())
        return
    for item in found:
        about = (
            ""
            if item.state == "damaged"
            else f"  {item.space}, {item.images:,} images × {item.labels} labels at revision "
            f"{item.label_revision}"
        )
        told = "" if item.suspicious is None else f", {item.suspicious:,} suspicious"
        click.echo(f"{item.run}  {item.state}{about}{told}")
    if not found:
        say("no audit has been run in this store: run `olrsearch audit run`")


@audit_command.command("delete", epilog=examples("olrsearch audit delete NAME"))
@click.argument("name")
@click.pass_context
def delete(ctx: click.Context, name: str) -> None:
    """Remove the audit NAME with all it kept; decisions stay."""
    with open_store(ctx) as store:
        store.audit.delete(name)
    say(f"deleted {name}")


audit_decisions.register(audit_command)


def _print_report(report: AuditReport, *, as_json: bool) -> None:
    say_notes(report.notes)
    if as_json:
        emit_json(report.to_dict())
        return
    for line in report.lines():
        click.echo(line)


def _print_issues(found: LabelIssues, *, as_json: bool) -> None:
    if as_json:
        for row in found.to_dicts():
            emit_json(row)
        return
    if not len(found):
        say("no entry to list")
        return
    wide = max(*(len(issue.key) for issue in found), len("image"))
    width = max(*(len(issue.label) for issue in found), len("label"))
    click.echo(f"{'rank':>5}  {'image':<{wide}}  {'label':<{width}}  {'given':<7}    {'suggested':<9}  score")
    for issue in found:
        score = f"{issue.present:.3f} present" if issue.score is None else f"{issue.score:.2g}"
        click.echo(
            f"{issue.rank:>5,}  {issue.key:<{wide}}  {issue.label:<{width}}  {VALUE_NAMES[issue.given]:<7}  "
            f"→ {VALUE_NAMES[issue.suggested]:<9}  {score}"
            + ("" if issue.verdict is None else f"  decided: {issue.verdict}")
        )


def _print_entry(found: AuditedEntry) -> None:
    score = "" if found.score is None else f", score {found.score:.2g}"
    click.echo(
        f"{found.label} of {found.key}: {VALUE_NAMES[found.given]}, the evidence says "
        f"{VALUE_NAMES[found.suggested]}{score}"
    )
    width = max((len(item.scorer) for item in found.evidence), default=0)
    for item in found.evidence:
        value = "  –  " if item.present is None else f"{item.present:.3f}"
        click.echo(f"  {item.scorer:<{width}}  {value}  {item.text}")
        for image in item.images:
            click.echo(f"  {'':<{width}}         {image.key} {VALUE_NAMES[image.given]}")
    for made in found.decisions:
        why = f": {made.why}" if made.why else ""
        click.echo(f"  {made.when[:16].replace('T', ' ')}  {made.who}  {made.verdict}{why}")


def _counted(count: ErrorCount) -> str:
    if count.count is None or count.low is None or count.high is None or not math.isfinite(count.count):
        return f"? of {count.entries:,}"
    return f"{count.count:,.0f} ({count.low:,.0f} – {count.high:,.0f})"
