"""What holds for every command: the options that stand before or after its name, and near names.

`--store`, `-q` and `-v` may be given to the program, to a group and to a command. They are read from left to
right, so of two that contradict each other the later one wins.
"""

from __future__ import annotations

import copy
import difflib
import logging
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

STORE_VARIABLE: Final = "OLRSEARCH_STORE"
DEFAULT_STORE: Final = Path("indexes/default")
_LOUDEST: Final = (logging.WARNING, logging.INFO, logging.DEBUG)


@dataclass(slots=True)
class Call:
    """One call of the program: what its options say, and how it is gone on with.

    Attributes:
        arguments: As they were typed after the program's name.
        store: Folder of the store.
        store_option: The store as it was typed; None where it comes from the environment or is the default.
        quiet: Whether stderr is for errors alone.
        verbosity: How often `-v` was given.
        goes_on: The command that goes on after an interruption; None where there is none.
    """

    arguments: list[str] = field(default_factory=list)
    store: Path = DEFAULT_STORE
    store_option: str | None = None
    quiet: bool = False
    verbosity: int = 0
    goes_on: str | None = None

    @property
    def level(self) -> int:
        """The logging level that is meant."""
        return logging.ERROR if self.quiet else _LOUDEST[min(self.verbosity, len(_LOUDEST) - 1)]

    def command(self, line: str) -> str:
        """A command as it is called for this store: `olrsearch --store faces encode`."""
        named = [] if self.store_option is None else ["--store", self.store_option]
        return f"{shlex.join(['olrsearch', *named])} {line}"

    def again(self, *options: str) -> str:
        """This very call with more options."""
        return shlex.join(["olrsearch", *self.arguments, *options])


def this_call(ctx: click.Context | None = None) -> Call:
    """The call that is on its way; one that says nothing where there is none."""
    ctx = ctx or click.get_current_context(silent=True)
    return Call() if ctx is None else ctx.ensure_object(Call)


def interruptible(ctx: click.Context, line: str | None = None) -> None:
    """Say how this command is gone on with after Ctrl-C.

    Args:
        ctx: Of the command.
        line: What to call, without the program's name; the same command again when None.
    """
    call = this_call(ctx)
    call.goes_on = call.again() if line is None else call.command(line)


def _take_store(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    call = this_call(ctx)
    if value is None:
        return
    call.store = value
    source = ctx.get_parameter_source(str(parameter.name))
    typed = source is click.core.ParameterSource.COMMANDLINE
    call.store_option = str(value) if typed else None


def _take_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        call = this_call(ctx)
        call.quiet, call.verbosity = True, 0
        _log(call)


def _take_verbose(ctx: click.Context, _: click.Parameter, value: int) -> None:
    if value:
        call = this_call(ctx)
        call.quiet, call.verbosity = False, call.verbosity + value
        _log(call)


def _log(call: Call) -> None:
    logging.getLogger().setLevel(call.level)


def start_logging() -> None:
    """Logs go to stderr; how much of them is said by `-q` and `-v`."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger().setLevel(_LOUDEST[0])


def everywhere_options(**store: Any) -> list[click.Option]:
    """The options that every command has.

    Args:
        store: More about `--store`: what the program itself takes where nobody names one.
    """
    return [
        click.Option(
            ["--store", "everywhere_store"],
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_take_store,
            help="Folder of the store.",
            **store,
        ),
        click.Option(
            ["-q", "--quiet", "everywhere_quiet"],
            is_flag=True,
            expose_value=False,
            callback=_take_quiet,
            help="Nothing but errors on stderr: no progress, no notes.",
        ),
        click.Option(
            ["-v", "--verbose", "everywhere_verbose"],
            count=True,
            expose_value=False,
            callback=_take_verbose,
            help="Log what is done (-vv: more).",
        ),
    ]


class Group(click.Group):
    """A group whose commands have the options of every command, and whose help is in whole sentences."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, with the options of every command.

        Raises:
            click.UsageError: there is none of this name; says which is meant.
        """
        known = self.list_commands(ctx)
        wanted = args[0]
        if wanted not in known and wanted[:1].isalnum() and self.get_command(ctx, wanted) is None:
            if ctx.resilient_parsing:
                return None, None, args[1:]
            raise click.UsageError(_unknown(self, ctx, wanted), ctx)
        name, command, rest = super().resolve_command(ctx, args)
        return name, None if command is None else _with_options(command), rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, with no summary cut."""
        known = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(limit=1000)) for name, command in known if command]
            )


def _with_options(command: click.Command) -> click.Command:
    """A copy of a command that takes the options of every command, unless it has one of the name itself."""
    taken = {name for parameter in command.params for name in parameter.opts}
    more = [option for option in everywhere_options() if not taken.intersection(option.opts)]
    command = copy.copy(command)
    command.params = [*command.params, *more]
    return command


def _unknown(group: click.Group, ctx: click.Context, wanted: str) -> str:
    """What to say of a command that there is not: the near ones, and those of other groups."""
    near = difflib.get_close_matches(wanted, group.list_commands(ctx), cutoff=0.7)
    if ctx.parent is None:
        for name in group.list_commands(ctx):
            inner = group.get_command(ctx, name)
            if isinstance(inner, click.Group):
                inside = inner.list_commands(click.Context(inner, info_name=name, parent=ctx))
                near += [f"{name} {wanted}"] if wanted in inside else []
    meant = f"; did you mean {' or '.join(near)}?" if near else f"; {ctx.command_path} --help lists them"
    return f"{ctx.command_path} has no command {wanted!r}{meant}"
