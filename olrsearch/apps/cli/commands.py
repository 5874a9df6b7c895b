"""The command line: parse, one library call, render.

Data goes to stdout, progress and logs to stderr. Exit codes: 0, 1 for an error of ours
(one line), 2 for usage, 130 after Ctrl-C. Commands are loaded when they are called, so
that `--help` and queries do not pay for training.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Any, Final

import click

from olrsearch._version import __version__

_COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module below olrsearch.apps.cli, one line of help)
    "demo": ("demo.avatars", "Avatars, training, a store, queries and pictures, in minutes."),
    "datasets": ("datasets", "Generate data sets."),
    "store": ("store", "Create, inspect, verify, relocate and migrate stores."),
    "import": ("imports", "Bring images and labels into a store."),
    "delete": ("delete", "Take images out of every answer."),
    "label": ("label", "List labels and correct stored values."),
    "train": ("train", "Train an encoder on the store's labelled images."),
    "encode": ("encode", "Encode images that have no embedding yet."),
    "calibrate": ("encode", "Fit probabilities to stored labels."),
    "encoders": ("encoders", "List encoders, read their model cards, publish one."),
    "index": ("index", "Build and inspect indexes."),
    "search": ("search", "Find images by attributes: 'smiling & eyeglasses & !male'."),
    "words": ("words", "Find images by words: beard eyeglasses '!male'."),
    "similar": ("similar", "Find images like an image, overall or in some respects."),
    "describe": ("describe", "Predict the labels or words of images."),
    "look": ("look", "Look into the embedding: norms, components, posteriors."),
    "audit": ("audit", "Find stored labels that are wrong, and decide on them."),
    "bench": ("bench", "Measure quality and speed by the published protocols."),
}


_STORE_VARIABLE: Final = "OLRSEARCH_STORE"


class _LazyGroup(click.Group):
    """A group that imports a command's module only when the command is used."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with every argument of every command refused that is no text."""
        store = os.environ.get(_STORE_VARIABLE, "")
        for what, text in [*(("the argument", arg) for arg in args), (_STORE_VARIABLE, store)]:
            try:
                text.encode()
            except UnicodeEncodeError:
                shown = ascii(os.fsencode(text)[:80])[1:]
                raise click.UsageError(
                    f"{what} {shown} holds bytes that are no UTF-8: expected text; rename what it names, or "
                    "run olrsearch in a terminal of UTF-8"
                ) from None
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"olrsearch.apps.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        # Here, because click's own main() would make exit code 1 of it.
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader (head, less) has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Help lines come from the table above: no command module is imported for --help.
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--store",
    "store_path",
    type=click.Path(path_type=Path),
    envvar=_STORE_VARIABLE,
    default=Path("indexes/default"),
    show_default=True,
    show_envvar=True,
    help="Folder of the store.",
)
@click.option("-v", "--verbose", count=True, help="Log what is done (-vv: more).")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@click.version_option(__version__, prog_name="olrsearch")
@click.pass_context
def cli(ctx: click.Context, store_path: Path, verbose: int, quiet: bool) -> None:
    """An embedding store and semantic image search engine for labelled images."""
    level = logging.WARNING if verbose == 0 else logging.INFO if verbose == 1 else logging.DEBUG
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    ctx.obj = {"store": store_path, "quiet": quiet}


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code instead of exiting.

    Args:
        arguments: As typed after the program's name; `sys.argv` when None.
    """
    from olrsearch import OlrsearchError

    try:
        code = cli.main(arguments, prog_name="olrsearch", standalone_mode=False)
    except click.exceptions.Abort as error:
        # A long run says in its KeyboardInterrupt what is kept and how to go on.
        said = str(error.__cause__ or "")
        click.echo(f"interrupted{': ' if said else ''}{said}", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OlrsearchError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except OSError as error:
        # What the system refuses (a full disk, a folder that is a file) is no bug of ours.
        where = f"{error.filename}: " if error.filename is not None else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        return 1
    except MemoryError as error:
        click.echo(f"error: out of memory{f' ({error})' if str(error) else ''}", err=True)
        return 1
    return code if isinstance(code, int) else 0
