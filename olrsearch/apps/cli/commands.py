"""The command line: parse, one library call, render.

Data goes to stdout, progress and logs to stderr. Exit codes: 0, 1 for an error of ours
(one line), 2 for usage, 130 after Ctrl-C. Commands are loaded when they are called, so
that `--help` and queries do not pay for training.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import re
import sys
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from olrsearch._version import __version__
from olrsearch.apps.cli.everywhere import (
    DEFAULT_STORE,
    STORE_VARIABLE,
    Call,
    Group,
    everywhere_options,
    start_logging,
)

_LONGEST: Final = 400
"""Characters of a message about usage; what was typed may be longer."""

_NEXT: Final = re.compile(r"\bolrsearch (?P<command>[a-z]+)\b(?: (?P<part>[a-z]+)\b)?")
"""A command in a message, and the command of a group that it may be."""

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
    "list": ("listing", "List images with their stored labels; nothing needs to be encoded."),
    "search": ("search", "Find images by attributes: 'smiling & eyeglasses & !male'."),
    "words": ("words", "Find images by words: beard eyeglasses '!male'."),
    "similar": ("similar", "Find images like an image, overall or in some respects."),
    "describe": ("describe", "Predict the labels or words of images."),
    "edit": ("edit", "Add labels to an image and remove others: +Smiling -Eyeglasses."),
    "imagine": ("imagine", "Make pictures of words, or an image anew, with a decoder."),
    "interpolate": ("imagine", "Make pictures of the way between two words or images."),
    "look": ("look", "Look into the embedding: norms, components, posteriors."),
    "audit": ("audit", "Find stored labels that are wrong, and decide on them."),
    "bench": ("bench", "Measure quality and speed by the published protocols."),
}


class _LazyGroup(Group):
    """A group that imports a command's module only when the command is used."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with every argument of every command refused that is no text."""
        store = os.environ.get(STORE_VARIABLE, "")
        for what, text in [*(("the argument", arg) for arg in args), (STORE_VARIABLE, store)]:
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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As click does, from the table above: no command module is imported."""
        named = [
            CompletionItem(name, help=text)
            for name, (_, text) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

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
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=everywhere_options(
        envvar=STORE_VARIABLE, default=DEFAULT_STORE, show_default=True, show_envvar=True
    ),
)
@click.version_option(__version__, prog_name="olrsearch")
def cli() -> None:
    """An embedding store and semantic image search engine for labelled images.

    --store, -q and -v may also stand after the command.
    """


def main() -> None:
    """Run the command line and exit with its code."""
    wait_without_spinning()
    logging.captureWarnings(capture=True)  # so that -q hides Python's own, too
    sys.exit(run())


def wait_without_spinning() -> None:
    """On a busy machine let threads that wait for one another sleep, unless somebody chose otherwise.

    torch's threads spin while they wait, and take from other work, and from each other, what they wait for:
    docs/results.md has the figures. It is read when torch is loaded, so it must be said before.
    """
    if os.name == "posix" and os.getloadavg()[0] > (os.cpu_count() or 1) / 2:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code instead of exiting.

    Args:
        arguments: As typed after the program's name; `sys.argv` when None.
    """
    from olrsearch import OlrsearchError
    from olrsearch.core.shown import one_line

    start_logging()
    call = Call(list(sys.argv[1:] if arguments is None else arguments))
    try:
        code = cli.main(call.arguments, prog_name="olrsearch", standalone_mode=False, obj=call)
    except click.exceptions.Abort as error:
        # A long run says in its KeyboardInterrupt what is kept.
        said = str(error.__cause__ or "")
        said = said if said.startswith("interrupted") else f"interrupted: {said}".removesuffix(": ")
        click.echo(f"{said}; go on with: {call.goes_on}" if call.goes_on else said, err=True)
        return 130
    except click.UsageError as error:
        return _wrong_usage(error)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OlrsearchError as error:
        click.echo(f"error: {_for_this_store(str(error), call)}", err=True)
        return 1
    except OSError as error:
        # What the system refuses (a full disk, a folder that is a file) is no bug of ours.
        from olrsearch.core.files import what_system_said

        where = f"{error.filename}: " if error.filename is not None else ""
        click.echo(f"error: {one_line(f'{where}{what_system_said(error)}')}", err=True)
        return 1
    except MemoryError as error:
        click.echo(f"error: out of memory{f' ({error})' if str(error) else ''}", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _for_this_store(message: str, call: Call) -> str:
    """An error whose commands to run next are for the store that was typed, where one was."""
    if call.store_option is None:
        return message
    ctx = click.Context(cli, info_name="olrsearch")

    def named(found: re.Match[str]) -> str:
        command = cli.get_command(ctx, found["command"])
        # A group alone is no command but a word: `no olrsearch store`. What follows imports differs.
        whole = not isinstance(command, click.Group) or found["part"] in command.commands
        if command is None or not (whole or found["command"] == "import"):
            return found.group()
        return call.command(found.group().removeprefix("olrsearch "))

    return _NEXT.sub(named, message)


def _wrong_usage(error: click.UsageError) -> int:
    """Say in a line or two what is not spelt right, and how it is; returns the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # its message is the help
        error.show()
        return error.exit_code
    message = " ".join(error.format_message().split())
    if isinstance(error, click.NoSuchOption):
        near = difflib.get_close_matches(error.option_name, error.possibilities or (), n=1)
        message = f"no such option {error.option_name}{''.join(f'; did you mean {name}?' for name in near)}"
    if len(message) > _LONGEST:
        message = f"{message[:_LONGEST]}…"
    if message[1:2].islower():  # not of NAMES
        message = message[0].lower() + message[1:]
    click.echo(f"error: {message}", err=True)
    if error.ctx is not None:
        usage = " ".join(error.ctx.get_usage().split()).removeprefix("Usage: ")
        click.echo(f"usage: {usage} (more: {error.ctx.command_path} --help)", err=True)
    return error.exit_code
