"""Files that people hand in: label tables, CelebA's lists, decisions, rules, query sets, idx files."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from olrsearch.audit.decisions.files import parse_decisions
from olrsearch.audit.scorers.rule_file import read_rules
from olrsearch.core.names import unfit_character
from olrsearch.datasets.celeba_files import format_attributes, format_numbers, parse_attributes
from olrsearch.datasets.celeba_lists import FoundList, identities_of_list, partitions_of_list
from olrsearch.datasets.idx_format import format_idx, parse_idx
from olrsearch.datasets.label_table import read_label_table
from olrsearch.datasets.table import with_rows
from olrsearch.evaluation.query_set import read_queries
from olrsearch_benchmarks.fuzzing.harness import Parser
from olrsearch_benchmarks.fuzzing.making import ODD_NUMBERS, ODD_TEXT, changed_bytes, changed_text, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from olrsearch.datasets.table import LabelTable
    from olrsearch.datasets.table_options import TableOptions

KEYS: Final = ("000001.jpg", "a/2.png", "Ä.jpg", "x y.jpg", "C:\\photos\\3.jpg", "/photos/4.jpg", "5", "")
NAMES: Final = (
    "Smiling",
    "Wavy_Hair",
    "partition",
    "identity",
    "image",
    "key",
    "0",
    "1",
    "Hat, old",
    'say "x"',
    "",
)
CELLS: Final = (
    *(
        "1",
        "0",
        "-1",
        "present",
        "absent",
        "unknown",
        "yes",
        "no",
        "TRUE",
        "",
        "nan",
        "?",
        "1.0",
        "train",
        "val",
    ),
    *("2", "ann", "Siam"),
)
_MARKS: Final = (",", ",", ",", ";", "\t")
_OPTIONS: Final[tuple[TableOptions, ...]] = (
    {"header": False},
    {"columns": ["Smiling"]},
    {"exclude_columns": ["Wavy_Hair", "partition"]},
    {"class_columns": ["Smiling"]},
    {"zero": "absent", "key_column": "key"},
    {"partition_column": "Smiling", "identity_column": "Wavy_Hair"},
)
"""How some tables are read; the first byte of an input says which."""

_BIG: Final = 0.002
"""How often an input is big."""


def _bytes_maker(good: Callable[[Random], bytes], *, coded: bool = True) -> Callable[[Random], bytes]:
    """A maker of bytes: a good file, one with bytes changed, or, seldom, noise; an option's code first."""

    def make(random: Random) -> bytes:
        how = random.random()
        data = good(random) if how < 0.98 else random.randbytes(random.randint(0, 400))
        data = changed_bytes(random, data) if how > 0.7 else data
        return (bytes([random.randrange(3 * len(_OPTIONS))]) if coded else b"") + data

    return make


def _encoded(random: Random, text: str) -> bytes:
    """Text as bytes: mostly UTF-8, now and then with a mark, in UTF-16 or in Latin-1."""
    encoding: str = random.choice((*("utf-8",) * 30, "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"))
    return text.encode(encoding, "surrogatepass" if encoding != "latin-1" else "replace")


def _cell(random: Random, usual: Sequence[str]) -> str:
    how = random.random()
    if how < 0.9:
        return random.choice(usual)
    if how < 0.9997:
        odd: str = random.choice((*ODD_TEXT, *ODD_NUMBERS, changed_text(random, "a.jpg")))
        return odd
    return str(random.choice(ODD_TEXT)) * 140_000


def _csv(random: Random) -> bytes:
    """A CSV, often with quotes and line ends where spreadsheets put them."""
    if random.random() < 0.5:
        return _good_csv(random)
    mark, end = random.choice(_MARKS), random.choice(("\n", "\n", "\r\n", "\r"))
    width = random.randint(1, 5) if random.random() > _BIG else 3_000
    header = [random.choice(("image", "key", *NAMES)), *(_cell(random, NAMES) for _ in range(width - 1))]
    rows = [header] if random.random() < 0.9 else []
    rows += [
        [_cell(random, KEYS), *(_cell(random, CELLS) for _ in range(width - 1))]
        for _ in range(random.randint(0, 6))
    ]
    text = end.join(mark.join(_quoted(random, cell, mark) for cell in row) for row in rows)
    return _encoded(random, random.choice(("", "", "", f"sep={mark}{end}")) + text + end)


def _good_csv(random: Random) -> bytes:
    """A table that can be read, in one of its forms."""
    mark = random.choice(_MARKS)
    names = random.sample(NAMES[:-1], random.randint(1, 4))
    names = ["image", *(name for name in names if name not in {"image", "key"})]
    keys = random.sample(KEYS[:-1], 3)
    rows = [[key, *(_fitting(random, name) for name in names[1:])] for key in keys]
    lines = [mark.join(_quoted(random, cell, mark) for cell in row) for row in [names, *rows]]
    return _encoded(random, "\n".join(lines))


def _fitting(random: Random, column: str) -> str:
    pools = {"partition": ("train", "val", "", "2"), "identity": ("ann", "7", "", "-1")}
    return random.choice(pools.get(column, ("1", "0", "-1", "present", "absent", "", "?")))


def _quoted(random: Random, cell: str, mark: str) -> str:
    if random.random() < 0.05 or (
        random.random() < 0.9 and any(one in cell for one in (mark, '"', "\n", "\r"))
    ):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _value(random: Random, depth: int = 0) -> Any:  # noqa: ANN401 - whatever JSON can hold
    how = random.random()
    if how < 0.02 and depth < 3:
        return {_cell(random, NAMES): _value(random, depth + 1) for _ in range(2)}
    if how < 0.04 and depth < 3:
        return [_value(random, depth + 1)]
    return random.choice((1, 0, -1, True, False, None, 1.0, float("nan"), 10**30, _cell(random, CELLS)))


def _json_lines(random: Random) -> bytes:
    """Label tables as JSON lines, sometimes nested deeply or with numbers of many digits."""
    lines: list[str] = []
    for _ in range(random.randint(0, 5)):
        labels = {_cell(random, NAMES): _value(random) for _ in range(3)}
        if random.random() < 0.7:
            values = random.choices((1, 0, -1, True, None, "yes"), k=2)
            labels = dict(zip(random.sample(NAMES[:-1], 2), values, strict=True))
        key = random.choice(KEYS[:-1]) if random.random() < 0.3 else f"{len(lines) + 1:06}.jpg"
        row: dict[str, Any] = {"image": key, "labels": labels}
        if random.random() < 0.4:
            row |= {"partition": random.choice(("train", None, "val", "x")), "identity": _value(random)}
        lines.append(json.dumps(row, ensure_ascii=random.random() < 0.5))
    return _encoded(random, _torn(random, "\n".join(lines)))


def _torn(random: Random, text: str) -> str:
    """Text as it is, changed, or with something that readers of JSON run into."""
    how = random.random()
    if how < 0.5:
        return text
    if how > 1 - _BIG:
        return random.choice(("[", '{"a":', '[{"a":')) * random.choice((900, 1_100, 100_000))
    if how > 0.97:
        return text.replace("1", random.choice(ODD_NUMBERS))
    return changed_text(random, text)


def _attributes(random: Random) -> bytes:
    """CelebA's list of attributes."""
    keys = [random.choice(("1.jpg", "2.jpg", "Ä.jpg", "4.png")) for _ in range(random.randint(1, 6))]
    names = random.sample(("Smiling", "Bald", "Young", "笑顔"), random.randint(1, 4))
    labels = np.array([random.choices((-1, 0, 1), k=len(names)) for _ in keys], np.int8)
    data = format_attributes(names, keys, labels)
    if random.random() < 0.1:
        data = changed_text(random, data.decode()).encode("utf-8", "surrogatepass")
    return data.replace(b"\n", random.choice((b"\n", b"\n", b"\r\n")))


def _numbers(random: Random) -> bytes:
    """CelebA's lists of partitions and of identities, as text or as Kaggle's CSV."""
    keys = [random.choice(("1.jpg", "2.jpg", "Ä.jpg", "4.png")) for _ in range(random.randint(1, 6))]
    data = format_numbers(keys, [random.randint(0, 3) for _ in keys]).decode()
    if random.random() < 0.3:
        data = "image_id,partition\n" + data.replace(" ", ",")
    if random.random() < 0.3:
        data = data.replace("2", random.choice((*ODD_NUMBERS, *ODD_TEXT)))
    return data.encode("utf-8", "surrogatepass")


_TIMES: Final = (
    *(
        "2026-01-31T12:00:00",
        "2026-01-31T12:00:00+14:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ),
    *("2026-02-30", "", "now"),
)


def _decisions(random: Random) -> bytes:
    """Files of decisions: CSV (with an even first byte) or a history."""
    columns = ["image", "label", "decision", "given", "why", "who"][: random.randint(3, 6)]
    words = ("accept", "flip", "unsure", "undo", "present", "absent", "unknown", "set", "", "x")
    if random.random() < 0.5:
        rows = [columns] + [
            [_cell(random, KEYS), _cell(random, NAMES), *(_cell(random, words) for _ in columns[2:])]
            for _ in range(random.randint(0, 5))
        ]
        return _encoded(
            random, "\n".join(",".join(_quoted(random, cell, ",") for cell in row) for row in rows)
        )
    lines = []
    for _ in range(random.randint(0, 5)):
        row = {"image": _cell(random, KEYS), "label": _cell(random, NAMES), "verdict": _cell(random, words)}
        row |= {
            "given": _value(random),
            "value": _value(random),
            "when": random.choice((*_TIMES, _value(random))),
        }
        row |= {name: _value(random) for name in random.sample(("who", "why", "run", "dataset"), 2)}
        lines.append(json.dumps(row, ensure_ascii=random.random() < 0.5))
    return _encoded(random, _torn(random, "\n".join(lines)))


_RULES: Final = (
    *(
        "never:",
        "always:",
        "at most one:",
        "Smiling",
        "Bald",
        "Young",
        "&",
        "->",
        ",",
        "!",
        "#",
        '"',
        "(",
        "|",
    ),
    *("\n", "\r\n", "\x85", " "),
)


def _rules(random: Random) -> bytes:
    good = "never: Bald & Smiling\nalways: Young -> !Bald # so\nat most one: Bald, Young, Smiling\n"
    return _encoded(
        random, changed_text(random, good) if random.random() < 0.5 else joined(random, _RULES, 30)
    )


def _queries(random: Random) -> bytes:
    good = "# drawn from: x\nnumber\tclass\tquery\n1\tA\tSmiling\n2\tA & !B\tSmiling & !Bald\n"
    return _encoded(random, changed_text(random, good))


def _idx(random: Random) -> bytes:
    shape = [random.randint(0, 4) for _ in range(random.randint(1, 4))]
    data = format_idx(np.zeros(shape, np.uint8))
    if random.random() < 0.5:
        import gzip

        data = gzip.decompress(data)
    return data


@cache
def _parquet_files() -> tuple[bytes, ...]:
    """Some Parquet files with columns of all kinds."""
    random = Random(0)
    moment = dt.datetime.fromisoformat("2026-01-31")
    kinds: tuple[Callable[[int], pa.Array], ...] = (
        lambda count: pa.array([random.choice((1, 0, None)) for _ in range(count)]),
        lambda count: pa.array([random.choice((True, False, None)) for _ in range(count)]),
        lambda count: pa.array([random.choice((1.0, 0.0, float("nan"))) for _ in range(count)]),
        lambda count: pa.array([random.choice(("yes", "no", "train", "")) for _ in range(count)]),
        lambda count: pa.array([random.choice(("yes", "no")) for _ in range(count)]).dictionary_encode(),
        lambda count: pa.array([random.choice((moment, None)) for _ in range(count)]),
        lambda count: pa.array([random.choice((2**62, 1)) for _ in range(count)], pa.timestamp("ns")),
        lambda count: pa.array([random.choice((2**31 - 1, 0)) for _ in range(count)], pa.date32()),
        lambda count: pa.array([[1, 2] for _ in range(count)]),
        lambda count: pa.array([{"a": {"b": 1}} for _ in range(count)]),
        lambda count: pa.array([b"1" for _ in range(count)]),
        pa.nulls,
        _invalid_text,
    )
    files = []
    for number in range(120):
        count = random.randint(0, 5)
        few = random.sample((*NAMES[:-1], "a.b"), random.randint(1, 4))
        names = ["image", *(name for name in few if name != "image")]
        if number % 4 == 0:
            names += random.choices((*NAMES, "__index_level_0__"), k=2)
        usable = kinds[:4] if number % 3 else kinds
        keys = random.sample(KEYS[:-1], count) if number % 5 else random.choices(KEYS, k=count)
        columns = [pa.array(keys, pa.string())]
        columns += [random.choice(usable)(count) for _ in names[1:]]
        sink = pa.BufferOutputStream()
        parquet.write_table(
            pa.Table.from_arrays(columns, names=names),
            sink,
            compression=random.choice(("none", "snappy", "zstd")),
        )
        files.append(sink.getvalue().to_pybytes())
    return tuple(files)


def _invalid_text(count: int) -> pa.Array:
    offsets = np.arange(count + 1, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(b"\xff" * max(count, 1))]
    )


def _parquet(random: Random) -> bytes:
    return random.choice(_parquet_files())


# ---- readers


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuzz-")


def _written(data: bytes, name: str) -> Path:
    path = Path(_folder().name, name)
    path.write_bytes(data)
    return path


def _table_reader(name: str) -> Callable[[bytes], None]:
    """Reads a table under a name, and puts images beside its rows."""

    def read(data: bytes) -> None:
        options: TableOptions = _OPTIONS[data[0]] if data and data[0] < len(_OPTIONS) else {}
        _use(read_label_table(_written(data[1:], name), **options))

    return read


def _use(table: LabelTable) -> None:
    """What an import does with a table, and what stores rely on."""
    if not set(np.unique(table.labels).tolist()) <= {-1, 0, 1} or len(table.keys) != len(table.labels):
        raise AssertionError("labels that are none")
    texts = [*table.names, *table.keys, *(who for who in table.identities.values() if isinstance(who, str))]
    if any(unfit_character(text) for text in texts) or len(set(table.names)) != len(table.names):
        raise AssertionError("names that no store takes")
    uris = {key: key for key in ("000001.jpg", "a/2.jpg", "4.jpg")}
    with_rows("folder", Path(), uris, table, where="table", expected="names")


def _read_attributes(data: bytes) -> None:
    _use(parse_attributes(data, where="list.txt"))


def _read_numbers(data: bytes) -> None:
    found = FoundList("list.csv" if data[:1] in {b"i", b"\xef"} else "list.txt", data)
    partitions_of_list(found)
    identities_of_list(found)


def _read_decisions(data: bytes) -> None:
    name = "decisions.jsonl" if data[:2].strip()[:1] in {b"{", b"["} else "decisions.csv"
    found = parse_decisions(_written(data, name))
    if any("\n" in fault or len(fault) > 1_000 for _, fault in found.faults):
        raise AssertionError("a fault of several lines, or a very long one")


def _drop(read: object) -> None:
    del read


PARSERS: Final = (
    Parser("csv-tables", _bytes_maker(_csv), _table_reader("labels.csv")),
    Parser("tsv-tables", _bytes_maker(_csv), _table_reader("labels.tsv")),
    Parser("json-lines", _bytes_maker(_json_lines), _table_reader("labels.jsonl")),
    Parser("parquet", _bytes_maker(_parquet), _table_reader("labels.parquet")),
    Parser("celeba-attributes", _bytes_maker(_attributes, coded=False), _read_attributes),
    Parser("celeba-lists", _bytes_maker(_numbers, coded=False), _read_numbers),
    Parser("decision-files", _bytes_maker(_decisions, coded=False), _read_decisions),
    Parser(
        "rule-files",
        _bytes_maker(_rules, coded=False),
        lambda data: _drop(read_rules(_written(data, "rules.txt"), ("Smiling", "Bald", "Young"))),
    ),
    Parser(
        "query-files",
        _bytes_maker(_queries, coded=False),
        lambda data: _drop(read_queries(_written(data, "queries.tsv"))),
    ),
    Parser(
        "idx-files",
        _bytes_maker(_idx, coded=False),
        lambda data: _drop(parse_idx(data, where="x", dimensions=(1, 2, 3))),
    ),
)
