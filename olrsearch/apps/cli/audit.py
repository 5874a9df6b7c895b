"""`olrsearch audit …`: which stored labels are wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from olrsearch.api.labels import VALUE_NAMES
from olrsearch.apps.cli import audit_decisions, completion
from olrsearch.apps.cli.columns import table
from olrsearch.apps.cli.common import Group, examples, open_store, say, say_notes, show
from olrsearch.apps.cli.options import (
    NATURAL,
    PATH,
    POSITIVE,
    SHEET,
    json_option,
    names,
    space_option,
    together,
    where_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from olrsearch import AuditedEntry, AuditReport, AuditRun, AuditSummary, ErrorCount, LabelIssues

_VALUE = click.Choice(["present", "absent"])
_run_option = click.option(
    "--run", metavar="NAME", help="Of the audit; the newest by default.", shell_complete=completion.audits()
)
_choice_options = together(
    click.option("-k", "--count", "k", type=POSITIVE, default=20, show_default=True, help="How many."),
    click.option("--given", type=_VALUE, help="Only entries that are stored so."),
    click.option("--unknown", is_flag=True, help="Suggestions for entries nobody has labelled."),
    click.option("--reviewed", is_flag=True, help="Also entries that people have judged."),
    _run_option,
)
"""What entries a list or a sheet is of."""


@click.group("audit", cls=Group)
def audit_command() -> None:
    """Find stored labels that are wrong, count them, and decide on them."""


@audit_command.command("run", epilog=examples("olrsearch audit run --labels Eyeglasses,Smiling"))
@click.option(
    "--labels",
    callback=names,
    shell_complete=completion.labels(listed=True),
    help="Only these labels, comma-separated; all that are stored by default.",
)
@where_option
@click.option(
    "--scorers", callback=names, help="What to ask, comma-separated; all that can be asked by default."
)
@click.option("--rules", type=PATH, help="A file of your own rules: never: Bald & Bangs.")
@click.option(
    "--weights",
    metavar="annotators|injected|FILE",
    help="What evidence is worth: by second annotations of the same pictures (the default); learnt from "
    "errors put into a copy of the labels, in as long again; or from another audit's run.json.",
)
@click.option("--folds", type=click.IntRange(min=2), help="Folds of identities; 5 by default.")
@click.option("--seed", type=NATURAL, help="Of everything random; 0 by default.")
@click.option("--resume", is_flag=True, help="Go on with the newest audit that was not finished.")
@space_option("of label embeddings")
@json_option("One JSON object.")
@click.pass_context
def run(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Ask every scorer about every stored label, and weigh what they say.

    Takes minutes; what is done is kept, and --resume goes on after an interruption.
    """
    with open_store(ctx) as store:
        report = store.audit.run(**options)
    _show_report(report, as_json=as_json)


@audit_command.command("refit", epilog=examples("olrsearch audit refit"))
@_run_option
@json_option("One JSON object.")
@click.pass_context
def refit(ctx: click.Context, run: str | None, as_json: bool) -> None:
    """Weigh, rank and estimate again with what was decided since, in seconds; no scorer is asked."""
    with open_store(ctx) as store:
        report = store.audit.refit(run)
    _show_report(report, as_json=as_json)


@audit_command.command(
    "list", epilog=examples("olrsearch audit list --label Eyeglasses -k 50 --csv review.csv")
)
@click.option(
    "--label",
    multiple=True,
    shell_complete=completion.labels(),
    help="Only of this label (repeatable); of all by default.",
)
@_choice_options
@click.option("--suggested", type=_VALUE, help="Only entries that the evidence finds so.")
@click.option("--offset", type=NATURAL, default=0, show_default=True, help="Skip this many entries.")
@click.option(
    "--csv",
    "csv_file",
    type=PATH,
    help="Also write them as a file of decisions to fill in (olrsearch audit decide --from).",
)
@json_option("One JSON object an entry.")
@click.pass_context
def list_issues(ctx: click.Context, /, csv_file: Path | None, as_json: bool, **options: Any) -> None:
    """The entries that are most likely wrong, most suspicious first.

    The score is the probability of what is stored. Entries that were judged, or changed since the
    audit, are left out.
    """
    with open_store(ctx, read_only=True) as store:
        found = store.audit.list(**options)
        # Before anything is printed: whoever reads only the first lines still gets the whole table.
        written = None if csv_file is None else store.audit.table(found, csv_file)
    say_notes(found.notes)
    show(found.to_dicts(), _issue_lines(found), as_json=as_json, nothing="no entry to list")
    if written is not None:
        say(f"table: {written}")


@audit_command.command("show", epilog=examples("olrsearch audit show 000001.jpg Eyeglasses --out entry.html"))
@click.argument("image", shell_complete=completion.images())
@click.argument("label", shell_complete=completion.labels())
@click.option("--out", type=SHEET, help="Also a page with pictures, .html or .png.")
@_run_option
@json_option("One JSON object.")
@click.pass_context
def show_entry(
    ctx: click.Context, image: str, label: str, out: Path | None, run: str | None, as_json: bool
) -> None:
    """What every scorer says of LABEL in IMAGE, and why; what was decided about it."""
    with open_store(ctx, read_only=True) as store:
        found = store.audit.show(image, label, run=run)
        say_notes(found.notes)
        show([found.to_dict()], _entry_lines(found), as_json=as_json)
        if out is not None:
            say(f"sheet: {store.audit.card(found, out)}")


@audit_command.command("summary", epilog=examples("olrsearch audit summary"))
@_run_option
@json_option("One JSON object a label.")
@click.pass_context
def summary(ctx: click.Context, run: str | None, as_json: bool) -> None:
    """How many entries of each label are wrong, in each direction, with 90 % intervals."""
    with open_store(ctx, read_only=True) as store:
        found = store.audit.summary(run=run)
    say_notes(found.notes)
    show([row.to_dict() for row in found], _summary_lines(found), as_json=as_json)


@audit_command.command("rules", epilog=examples("olrsearch audit rules"))
@click.option("--rules", "file", type=PATH, help="Your own rules first, from this file.")
@json_option("One JSON object a rule.")
@click.pass_context
def rules(ctx: click.Context, file: Path | None, as_json: bool) -> None:
    """Rules that the stored labels follow, and how often they are broken. Needs no audit."""
    with open_store(ctx, read_only=True) as store:
        found = store.audit.rules(file)
    lines = (
        "  ".join(
            [f"{rule.violations:>6,}", rule.text, *([", ".join(rule.examples)] if rule.examples else [])]
        )
        for rule in found
    )
    nothing = "the stored labels follow no rule"
    show([rule.to_dict() for rule in found], lines, as_json=as_json, nothing=nothing)


@audit_command.command(
    "sheet", epilog=examples("olrsearch audit sheet suspects.html --label Eyeglasses --label Smiling")
)
@click.argument("out", type=SHEET)
@click.option(
    "--label",
    "labels",
    multiple=True,
    shell_complete=completion.labels(),
    help="A section for this label (repeatable); else one over all.",
)
@_choice_options
@click.pass_context
def sheet(ctx: click.Context, /, out: Path, **options: Any) -> None:
    """Pictures of the most suspicious entries: OUT ends in .html or .png.

    With what every scorer says, and beside each picture images that are much like it and labelled
    the other way.
    """
    with open_store(ctx, read_only=True) as store:
        path = store.audit.sheet(out, **options)
    say(f"sheet: {path}")


@audit_command.command("runs", epilog=examples("olrsearch audit runs"))
@json_option("One JSON object an audit.")
@click.pass_context
def runs(ctx: click.Context, as_json: bool) -> None:
    """The audits of the store, the oldest first."""
    with open_store(ctx, read_only=True) as store:
        found = store.audit.runs()
    nothing = "no audit has been run in this store: run `olrsearch audit run`"
    show([run.to_dict() for run in found], map(_run_line, found), as_json=as_json, nothing=nothing)


@audit_command.command("delete", epilog=examples("olrsearch audit delete NAME"))
@click.argument("name", shell_complete=completion.audits())
@click.pass_context
def delete(ctx: click.Context, name: str) -> None:
    """Remove the audit NAME with all it kept; decisions stay."""
    with open_store(ctx) as store:
        store.audit.delete(name)
    say(f"deleted {name}")


for _command in (audit_decisions.decide, audit_decisions.history, audit_decisions.export):
    audit_command.add_command(_command)


def _show_report(report: AuditReport, *, as_json: bool) -> None:
    say_notes(report.notes)
    show([report.to_dict()], report.lines(), as_json=as_json)


def _issue_lines(found: LabelIssues) -> Iterator[str]:
    if not len(found):
        return
    yield from table(
        ("rank", "image", "label", "given", "", "suggested", "score", ""),
        [
            (
                f"{issue.rank:,}",
                issue.key,
                issue.label,
                VALUE_NAMES[issue.given],
                *(("", "as stored") if agrees else ("→", VALUE_NAMES[issue.suggested])),
                f"{issue.present:.3f} present" if issue.score is None else f"{issue.score:.2g}",
                "" if issue.verdict is None else f"decided: {issue.verdict}",
            )
            for issue in found
            for agrees in (issue.suggested == issue.given,)
        ],
        align="rlllllll",
    )


def _entry_lines(found: AuditedEntry) -> Iterator[str]:
    score = "" if found.score is None else f", score {found.score:.2g}"
    given, suggested = VALUE_NAMES[found.given], VALUE_NAMES[found.suggested]
    yield f"{found.label} of {found.key}: {given}, the evidence says {suggested}{score}"
    width = max((len(item.scorer) for item in found.evidence), default=0)
    for item in found.evidence:
        value = "  –  " if item.present is None else f"{item.present:.3f}"
        yield f"  {item.scorer:<{width}}  {value}  {item.text}"
        for image in item.images:
            yield f"  {'':<{width}}         {image.key} {VALUE_NAMES[image.given]}"
    for made in found.decisions:
        why = f": {made.why}" if made.why else ""
        yield f"  {made.when[:16].replace('T', ' ')}  {made.who}  {made.verdict}{why}"


def _summary_lines(rows: AuditSummary) -> Iterator[str]:
    yield from table(
        ("label", "entries", "wrongly present", "wrongly absent", "reviewed", "wrong", ""),
        [
            (
                row.label,
                f"{row.entries:,}",
                _counted(row.false_present),
                _counted(row.false_absent),
                f"{row.reviewed:,}",
                f"{row.wrong:,}",
                "" if row.identifiable else "(the evidence can hardly tell)",
            )
            for row in rows
        ],
        align="lrrrrrl",
    )


def _run_line(run: AuditRun) -> str:
    if run.state == "damaged":
        return f"{run.run}  damaged"
    told = "" if run.suspicious is None else f", {run.suspicious:,} suspicious"
    return (
        f"{run.run}  {run.state}  {run.space}, {run.images:,} images × {run.labels} labels at revision "
        f"{run.label_revision}{told}"
    )


def _counted(count: ErrorCount) -> str:
    if count.count is None or count.low is None or count.high is None or not math.isfinite(count.count):
        return f"? of {count.entries:,}"
    return f"{count.count:,.0f} ({count.low:,.0f} – {count.high:,.0f})"
