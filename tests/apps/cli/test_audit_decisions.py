"""`olrsearch audit decide`, `history` and `export`: what they print, write and refuse."""

import json
import re

import pytest
from command import call, good, refused
from command_reference import json_keys
from pictures import LABELS, name, write_pictures


@pytest.fixture
def store(tmp_path):
    """Ten pictures with labels."""
    table = write_pictures(tmp_path / "pictures", 10)
    good(tmp_path / "store", "-q", "import", "folder", tmp_path / "pictures", "--labels", table)
    return tmp_path / "store"


def counts(store):
    return {
        row["label"]: (row["present"], row["absent"]) for row in good(store, "label", "list", "--json").rows
    }


def test_a_decision_from_beginning_to_end(store):
    before = counts(store)
    flipped = good(store, "audit", "decide", name(1), "bright", "flip", "--why", "dark", "--who", "ann")
    assert not flipped.out
    assert re.fullmatch(r"0001\.png: Bright: flipped; is (present|absent)\n", flipped.err)
    assert counts(store) != before
    assert "left unsure; the annotation" in good(store, "audit", "decide", name(2), "red", "unsure").err
    assert "accepted; is" in good(store, "audit", "decide", name(3), "red", "accept", "--run", "audit-1").err
    undone = good(store, "audit", "decide", "--undo", name(1), "bright", "--who", "bob")
    assert undone.err == "0001.png: Bright: taken back; the annotation is in force\n"
    assert counts(store) == before
    lines = good(store, "audit", "history").out.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(
        r"[-\d]{10} \d\d:\d\d  0001\.png  Bright  flip    (present > absent|absent > present)  +ann  dark",
        lines[0],
    )
    assert " undo " in lines[3]
    assert good(store, "audit", "history", name(1)).out.splitlines() == [lines[0], lines[3]]
    assert good(store, "audit", "history", "--label", "RED").out.splitlines() == lines[1:3]
    nothing = good(store, "audit", "history", name(9))
    assert (nothing.out, nothing.err) == ("", "nothing of this was decided yet\n")


def test_what_json_prints_is_what_is_documented(store, tmp_path):
    decided = good(store, "audit", "decide", name(1), "bright", "flip", "--json").row
    assert list(decided) == list(json_keys()["audit decide"][1])
    assert decided["verdicts"] == {"flip": 1}
    row = good(store, "audit", "history", "--json").row
    assert list(row) == list(json_keys()["audit history"][1])
    opposite = {"present": "absent", "absent": "present"}
    assert (row["key"], row["verdict"], row["value"]) == (name(1), "flip", opposite[row["given"]])
    for arguments in (("labels.csv",), ("history.json", "--decisions")):
        written = good(store, "audit", "export", tmp_path / arguments[0], *arguments[1:], "--json").row
        assert list(written) == list(json_keys()["audit export"][1])
    assert (written["decisions"], written["images"]) == (1, None)


def test_a_file_is_decided_whole_or_not_at_all(store, tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_text(f"image,label,decision\n{name(1)},bright,flip\n{name(2)},red,\n{name(3)},red,flop\n")
    line = refused(store, "audit", "decide", "--from", path)
    assert "decisions.csv: 1 of 2 decisions do not fit, and none was written: line 4: found" in line
    assert not good(store, "audit", "history").out
    path.write_text(path.read_text().replace("flop", "unsure"))
    done = good(store, "audit", "decide", "--from", path, "--who", "ann")
    assert done.err == "2 decisions: 1 flip, 1 unsure\nnote: 1 lines say no decision and were left out\n"


@pytest.mark.parametrize("how", ["export", "history"])
def test_decisions_taken_to_a_fresh_store(store, tmp_path, how):
    for arguments in (("flip",), ("accept",)):
        good(store, "audit", "decide", name(1), "bright", *arguments)
    good(store, "audit", "decide", "--undo", name(1), "bright")
    good(store, "label", "set", "striped", "unknown", name(4))
    out = tmp_path / "history.jsonl"
    if how == "export":
        assert good(store, "audit", "export", out, "--decisions").err == f"4 decisions in {out}\n"
    else:
        out.write_text(good(store, "audit", "history", "--json").out)
    fresh = tmp_path / "fresh"
    good(
        fresh, "-q", "import", "folder", tmp_path / "pictures",
        "--labels", tmp_path / "pictures" / "labels.csv", "--name", "others",
    )  # fmt: skip
    good(fresh, "audit", "decide", "--from", out)
    assert counts(fresh) == counts(store)
    rows = [good(path, "audit", "history", "--json").rows for path in (store, fresh)]
    assert [row | {"dataset": "others"} for row in rows[0]] == rows[1]


def test_labels_are_exported_and_imported(store, tmp_path):
    good(store, "audit", "decide", name(1), "bright", "flip")
    out = tmp_path / "labels.csv"
    done = good(store, "audit", "export", out)
    assert done.err == f"4 labels of 10 images in {out}; 1 value differs from what was annotated\n"
    assert "is there already" in refused(store, "audit", "export", out)
    good(
        store, "audit", "export", out, "--replace", "--dataset", "pictures", "--where", "partition = 'train'"
    )
    assert len(out.read_text().splitlines()) == 7
    good(store, "audit", "export", tmp_path / "labels", "--form", "json")
    first = json.loads((tmp_path / "labels").read_text().splitlines()[0])
    assert list(first["labels"]) == list(LABELS)
    good(store, "audit", "export", out, "--replace")
    fresh = tmp_path / "fresh"
    good(fresh, "-q", "import", "folder", tmp_path / "pictures", "--labels", out)
    assert counts(fresh) == counts(store)
    good(store, "label", "set", "red", "unknown", name(2), name(3))
    assert "2 values of 2 images are unknown" in refused(store, "audit", "export", tmp_path / "list.txt")
    assert "no data set 'x'" in refused(store, "audit", "export", tmp_path / "x.csv", "--dataset", "x")
    write_pictures(tmp_path / "pictures", 1, first=10)
    good(store, "-q", "import", "folder", tmp_path / "pictures")
    done = good(store, "audit", "export", tmp_path / "more.csv")
    assert "note: 1 image without stored labels left out" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("decide",),
        ("decide", name(1)),
        ("decide", name(1), "bright"),
        ("decide", name(1), "bright", "maybe"),
        ("decide", "--undo", name(1), "bright", "flip"),
        ("decide", "--undo", name(1)),
        ("decide", "--from", "x.csv", name(1), "bright", "flip"),
        ("decide", "--from", "x.csv", "--undo"),
        ("decide", "--from", "x.csv", "--why", "because"),
        ("export",),
        ("export", "x.csv", "--form", "xml"),
        ("export", "x.json", "--decisions", "--form", "json"),
        ("export", "x.json", "--decisions", "--where", "key = 'x'"),
    ],
)
def test_calls_that_are_not_spelt_right(store, arguments):
    assert call(store, "audit", *arguments).code == 2
    assert not good(store, "audit", "history").out


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("decide", "1.png", "bright", "flip"), "no image '1.png' in"),
        (("decide", name(1), "brihgt", "flip"), "unknown label 'brihgt'; did you mean Bright?"),
        (
            ("decide", "--undo", name(1), "bright"),
            "nothing was decided: 0001.png, Bright: no decision is there",
        ),
        (("decide", "--from", "nothing.csv"), "no file of decisions at nothing.csv"),
        (("history", "1.png"), "no image '1.png' in"),
        (("history", "--label", "brihgt"), "unknown label"),
        (("export", "x.json", "--decisions"), "nothing of this was decided yet"),
        (("export", "x.xml"), "x.xml says no form"),
    ],
)
def test_what_is_refused(store, arguments, match):
    assert match in refused(store, "audit", *arguments)


def test_control_characters_of_people_are_shown_and_not_printed(store):
    typed = "dark\x1b[2J\nor \x9bnot"
    good(store, "audit", "decide", name(1), "bright", "flip", "--why", typed, "--who", "ann")
    line = good(store, "audit", "history").out
    assert line.count("\n") == 1
    assert line.endswith("ann  dark\\x1b[2J\\x0aor \\x9bnot\n")
    assert good(store, "audit", "history", "--json").row["why"] == typed
