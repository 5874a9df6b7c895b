"""Files of decisions: what is read, and what bad lines get."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from olrsearch.audit.decisions.files import format_history, parse_decisions
from olrsearch.core.errors import AuditError
from olrsearch.store import Decision, DecisionRequest

SAID = "expected accept, flip, unsure, undo, present, absent, unknown, or nothing"
THEN = dt.datetime.fromisoformat("2024-05-01T12:00:00.000250")


@pytest.fixture
def written(tmp_path):
    def write(content, name="decisions.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def decisions(path):
    """The decisions of a file without faults."""
    found = parse_decisions(path)
    assert found.faults == ()
    return list(found.requests)


def test_a_csv_of_people(written):
    path = written(
        "\ufeffLabel;Key;Verdict;why;Who;given;score\n"
        'Smiling;a.jpg;flip;"laughs; really";bob;present;.02\n'
        "\n"
        "wavy hair;b.jpg; Accept ;;;-1;\n"
        "Male;c.jpg;;;;;\n"
        "Male;faces/d.jpg;UNSURE;;;;\n"
    )
    found = parse_decisions(path)
    assert found.requests == (
        DecisionRequest("a.jpg", "Smiling", "flip", given=1, who="bob", why="laughs; really", line=2),
        DecisionRequest("b.jpg", "wavy hair", "accept", given=-1, line=4),
        DecisionRequest("faces/d.jpg", "Male", "unsure", line=6),
    )
    assert (found.faults, found.undecided) == ((), 1)


def test_the_least_columns(written):
    (request,) = decisions(written("image\tlabel\tdecision\na.jpg\tMale\tundo\n", "d.tsv"))
    assert request == DecisionRequest("a.jpg", "Male", "undo", line=2)


def test_values_that_are_set(written):
    path = written("image,label,given,decision\na,Male,unknown,present\nb,Male,,Absent\nc,Male,,unknown\n")
    found = decisions(path)
    assert [(item.verdict, item.value, item.given) for item in found] == [
        ("set", 1, 0),
        ("set", -1, None),
        ("set", 0, None),
    ]


def test_every_bad_line_is_named(written):
    path = written(
        "image,label,decision,given\n"
        "a.jpg,Male,flop,\n"
        "a.jpg,Male,flip,\n"
        ",Male,flip,\n"
        "a.jpg,,flip,\n"
        "a.jpg,Male,flip\n"
        "a.jpg,Male,set,\n"
        "a.jpg,Male,flip,maybe\n"
    )
    assert parse_decisions(path).faults == (
        (
            2,
            f"found the decision 'flop', {SAID}",
        ),
        (4, "found no image"),
        (5, "found no label"),
        (6, "found 3 columns, expected 4 as in the header"),
        (
            7,
            f"found the decision 'set', {SAID}",
        ),
        (8, "found 'maybe' for given, expected present, absent or unknown"),
    )


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "holds no rows, expected a header"),
        ("image,label,decision\n", "holds no rows, expected a header"),
        (
            "a.jpg,Male,flip\nb.jpg,Male,flip\n",
            "no column image or key among a.jpg, Male, flip; expected a header",
        ),
        ("image,decision\na,flip\n", "no column label among image, decision"),
        ("image,label\na,Male\n", "no column decision or verdict among"),
        ("image,KEY,label,decision\na,a,Male,flip\n", "found the columns image and KEY, expected one"),
        ("image,label,decision,verdict\na,Male,flip,\n", "found the columns decision and verdict"),
        (b"image,label,decision\n\xff,Male,flip\n", "is not UTF-8"),
        ('image,label,decision\n"a,Male,flip\n', "line 2: unexpected end of data"),
    ],
)
def test_what_is_no_csv_of_decisions(written, content, match):
    with pytest.raises(AuditError, match=match):
        parse_decisions(written(content))


@pytest.mark.parametrize("name", ["none.csv", "none.jsonl", "."])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(AuditError, match="file of decisions"):
        parse_decisions(tmp_path / name)


def made(image_id=1, **more):
    fields = {
        "dataset": "faces",
        "key": "a.jpg",
        "label": "Smiling",
        "verdict": "flip",
        "given": 1,
        "value": -1,
    }
    return Decision(image_id, **(fields | {"who": "ann", "when": THEN, "why": "", "run": None} | more))


def test_a_history_is_read_as_it_was_written(written):
    rows = [
        made(),
        made(why="a\u2028line, they say\nand another", run="audit-1"),
        made(image_id=2, verdict="set", given=None, value=0),
        made(image_id=2, verdict="set", given=0, value=None),
        made(image_id=2, verdict="undo", given=1, value=0),
    ]
    path = written(format_history(rows, {1: "a.jpg", 2: "faces/ü.jpg"}), "history.jsonl")
    again = decisions(path)
    assert [request.line for request in again] == [1, 2, 3, 4, 5]
    for row, request in zip(rows, again, strict=True):
        assert request.image == {1: "a.jpg", 2: "faces/ü.jpg"}[row.image_id]
        for name in ("label", "verdict", "given", "who", "when", "why", "run"):
            assert getattr(request, name) == getattr(row, name)
        assert request.value == (row.value if row.verdict == "set" else None)


def test_json_lines_of_other_hands(written):
    lines = [
        {"key": "a.jpg", "dataset": "x", "image_id": 7, "label": "Male", "verdict": "set", "value": "absent"},
        {"image": "b.jpg", "label": "Male", "verdict": "accept", "when": "2024-05-01T14:00:00+02:00"},
    ]
    path = written("\n\n".join(map(json.dumps, lines)), "some.json")
    assert decisions(path) == [
        DecisionRequest("a.jpg", "Male", "set", value=-1, line=1),
        DecisionRequest("b.jpg", "Male", "accept", when=THEN.replace(microsecond=0), line=3),
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"verdict": "maybe"}, "found the verdict 'maybe', expected set, accept, flip, unsure, undo"),
        ({"verdict": None}, "found the verdict None"),
        ({"verdict": "set"}, "found no value to set"),
        ({"verdict": "set", "value": True}, "found 'True' for value"),
        ({"image": 7}, "found no image"),
        ({"label": None}, "found no label"),
        ({"given": 2}, "found '2' for given"),
        ({"who": 3}, "found 3 for who, expected text or null"),
        ({"when": "yesterday"}, "found 'yesterday' for when"),
        ({"when": 17}, "found 17 for when"),
        ({"when": "0001-01-01T00:00:00+14:00"}, "found '0001-01-01T00:00:00+14:00' for when"),
        ({"when": "9999-12-31T23-1400"}, "found '9999-12-31T23-1400' for when"),
        ({"scroe": 1}, "found the key 'scroe', expected some of"),
    ],
)
def test_bad_lines_of_json(written, change, fault):
    good = {"image": "a.jpg", "label": "Male", "verdict": "flip"}
    path = written("\n".join(map(json.dumps, (good, good | change))), "some.jsonl")
    found = parse_decisions(path)
    ((line, said),) = found.faults
    assert line == 2
    assert said.startswith(fault)
    assert len(found.requests) == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "found no JSON"),
        ("[1]", "found '[1]', expected an object"),
        ("[" * 100_000, "found no JSON (it is nested too deeply)"),
        ('{"given": ' + "1" * 5000 + "}", "found no JSON (a number of 5000 digits)"),
        ('{"who": "ann", "who": "bob"}', "found no JSON (the key 'who' twice)"),
        ('{"' + "x" * 100_000 + '": 1}', "found the key 'xxxx"),
    ],
)
def test_lines_that_are_no_objects(written, content, fault):
    ((_, said),) = parse_decisions(written(content, "some.jsonl")).faults
    assert said.startswith(fault)
    assert len(said) < 400


@pytest.mark.parametrize(("content", "match"), [(b"\n", "holds no decisions"), (b"\xff", "is not UTF-8")])
def test_files_that_are_no_json_lines(written, content, match):
    with pytest.raises(AuditError, match=match):
        parse_decisions(written(content, "some.jsonl"))
