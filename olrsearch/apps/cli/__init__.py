"""The command line: one file a command noun; `commands` lists them."""

from olrsearch.apps.cli.commands import cli, main, run

__all__ = ["cli", "main", "run"]
