"""The command line as tests call it: in this process, or in one of its own."""

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
import warnings
from dataclasses import dataclass

from olrsearch.apps.cli import run

PROGRAM = "import sys; from olrsearch.apps.cli import run; sys.exit(run(sys.argv[1:]))"


# Several commands after one another in a process that has loaded nothing else.
LIGHT = """
import contextlib, io, json, sys
from olrsearch.apps.cli import run
store, (commands, unwanted) = sys.argv[1:3], map(json.loads, sys.argv[3:])
for command in commands:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            code = run([*store, *command])
        except SystemExit as ended:  # click's own --help
            code = ended.code
    assert not code, command
    assert out.getvalue(), command
    loaded = {name.partition('.')[0] for name in sys.modules} & set(unwanted)
    assert not loaded, (command, loaded)
"""


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str

    @property
    def rows(self):
        """The JSON objects on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self):
        (found,) = self.rows
        return found


@contextlib.contextmanager
def running(program, *arguments, said):
    """A program in a process of its own, from the moment on when it has said a line."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as child:
        assert child.stdout.readline() == f"{said}\n"
        yield child


def call(store, *arguments):
    """`olrsearch --store STORE …` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run(["--store", str(store), *map(str, arguments)])
        except SystemExit as ended:  # click's own --help and --version
            code = ended.code or 0
    return Called(code, out.getvalue(), err.getvalue())


def good(store, *arguments):
    """The same, for commands that must succeed."""
    called = call(store, *arguments)
    assert called.code == 0, called.err
    return called


def refused(store, *arguments):
    """For commands that must fail with an error of ours: its one line, the store left out of its advice."""
    called = call(store, *arguments)
    assert called.code == 1, (called.code, called.err)
    assert not called.out
    (line,) = [line for line in called.err.splitlines() if line.startswith("error: ")]
    return line.replace(f"olrsearch --store {shlex.quote(str(store))} ", "olrsearch ")


def environment(**more):
    """Of a child process: one thread, nothing of this shell's store."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OLRSEARCH_")}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"} | more


def process(store, *arguments, program=PROGRAM, **options):
    """`olrsearch --store STORE …` in a process of its own, or another program with these arguments."""
    done = subprocess.run(
        [sys.executable, "-c", program, "--store", str(store), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        env=environment(),
        **options,
    )
    return Called(done.returncode, done.stdout, done.stderr)


def assert_loads_none(store, commands, modules):
    """Commands succeed, print something, and load none of these modules."""
    done = process(store, json.dumps(commands), json.dumps(sorted(modules)), program=LIGHT)
    assert done.code == 0, done.err


def one_thread():
    """Torch as training tests want it: one thread, the same results everywhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing torch is not what is tested
        import torch

    torch.set_num_threads(1)
