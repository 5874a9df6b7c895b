"""How a benchmark's report is written and printed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli.common import emit_json, say

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch import Report


def render(
    report: Report, out: Path | None, *, as_json: bool, lines: list[dict[str, Any]] | None = None
) -> None:
    """Write a report, and print it: as text, or as JSON, an object a line where there are lines."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        for suffix, text in (
            (".json", json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n"),
            (".md", report.to_markdown()),
        ):
            path = out.with_name(out.name + suffix)
            path.write_text(text)
            say(f"report: {path}")
    if as_json:
        for line in [report.to_dict()] if lines is None else lines:
            emit_json(line)
    else:
        click.echo(report.to_markdown())
