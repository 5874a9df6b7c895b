"""`olrsearch audit` by the command line: runs, lists, entries, summaries, sheets."""

import csv
import json
import shutil

import pytest
from command import assert_loads_none, call, good, refused
from command_reference import json_keys
from made_audits import WRONG, Scorers, spoil
from pictures import LABELS, name
from PIL import Image

from olrsearch.store.audit_runs import audit_folders

HEAVY = {"torch", "lightning", "faiss", "matplotlib", "onnx", "onnxruntime", "scipy"}


@pytest.fixture(scope="module")
def spoiled(gallery, tmp_path_factory):
    return spoil(gallery, tmp_path_factory.mktemp("spoiled"))


@pytest.fixture(scope="module")
def audited(spoiled, tmp_path_factory):
    """A store with planted errors, audited by the command line."""
    home = shutil.copytree(spoiled, tmp_path_factory.mktemp("audited") / "store")
    with pytest.MonkeyPatch.context() as patch:
        Scorers().install(patch)
        good(home, "audit", "run", "--seed", 1)
        yield home


@pytest.fixture
def home(audited, tmp_path):
    """A copy that one may change."""
    return shutil.copytree(audited, tmp_path / "store")


@pytest.fixture
def fresh(spoiled, tmp_path, monkeypatch):
    """A store to audit, and its scorers."""
    return shutil.copytree(spoiled, tmp_path / "store"), Scorers().install(monkeypatch)


@pytest.mark.slow
def test_run_reports_what_it_came_to(fresh):
    store, _ = fresh
    called = good(store, "audit", "run", "--scorers", "probability, other-labels", "--where", "id <= 100")
    lines = called.out.splitlines()
    assert lines[0].startswith("audit-")
    assert ": 397 entries of 4 labels and 100 images of " in lines[0]
    assert lines[1].endswith("are more likely wrong than right: olrsearch audit list, audit summary")
    row = good(store, "audit", "run", "--labels", "red,framed", "--folds", 3, "--json").row
    assert list(row) == list(json_keys()["audit run"][1])
    assert (row["labels"], row["images"], row["reviewed"]) == (2, 120, 0)
    runs = good(store, "audit", "runs").out.splitlines()
    assert len(runs) == 2
    assert runs[1].startswith(f"{row['run']}  finished  ")
    assert "120 images × 2 labels at revision 1" in runs[1]
    listed = good(store, "audit", "runs", "--json").rows
    assert [item["run"] for item in listed] == [line.split()[0] for line in runs]
    assert list(listed[0]) == list(json_keys()["audit runs"][1])
    said = good(store, "audit", "delete", listed[0]["run"])
    assert said.err == f"deleted {listed[0]['run']}\n"
    assert len(good(store, "audit", "runs").out.splitlines()) == 1


def test_an_interruption_says_how_to_go_on(fresh):
    store, scorers = fresh
    scorers.fail[2] = KeyboardInterrupt()
    called = call(store, "audit", "run")
    (path,) = audit_folders(store / "runs")
    assert called.code == 130
    assert f"interrupted: what is done of {path.name} is kept: `olrsearch audit run --resume`" in called.err
    assert good(store, "audit", "runs").out.split()[1] == "unfinished"
    line = refused(store, "audit", "list")
    assert f"{path.name} is not finished: run `olrsearch audit run --resume`" in line
    assert refused(store, "audit", "run", "--resume", "--labels", "red").endswith("give --resume alone")
    assert path.name in good(store, "audit", "run", "--resume").out
    assert good(store, "audit", "list", "-k", 3).out


def test_list_as_a_table_and_as_json(audited):
    lines = good(audited, "audit", "list", "--label", "red", "-k", len(WRONG)).out.splitlines()
    rows = good(audited, "audit", "list", "--label", "red", "-k", len(WRONG), "--json").rows
    assert lines[0].split() == ["rank", "image", "label", "given", "suggested", "score"]
    assert list(rows[0]) == list(json_keys()["audit list"][1])
    for line, row in zip(lines[1:], rows, strict=True):
        assert line.split() == [
            str(row["rank"]),
            row["key"],
            "Red",
            row["given"],
            "→",
            row["suggested"],
            f"{row['score']:.2g}",
        ]
    assert {row["key"] for row in rows} == {name(row) for row in WRONG}
    page = good(audited, "audit", "list", "--label", "red", "-k", 2, "--offset", 1, "--json").rows
    assert page == rows[1:3]
    some = good(audited, "audit", "list", "--given", "present", "--suggested", "absent", "--json").rows
    assert {(row["given"], row["suggested"]) for row in some} == {("present", "absent")}
    unknown = good(audited, "audit", "list", "--unknown", "--json").rows
    assert {(row["label"], row["given"], row["score"]) for row in unknown} == {("Striped", "unknown", None)}
    assert "unknown" in good(audited, "audit", "list", "--unknown").out
    nothing = good(audited, "audit", "list", "--label", "red", "--unknown")
    assert (nothing.out, "no entry to list" in nothing.err) == ("", True)
    assert call(audited, "audit", "list", "--given", "maybe").code == 2


@pytest.mark.slow
def test_a_table_that_is_filled_in_is_decided_and_learnt_from(home, tmp_path, monkeypatch):
    Scorers().install(monkeypatch)
    table = tmp_path / "red.csv"
    called = good(home, "audit", "list", "--label", "red", "-k", 8, "--csv", table)
    assert called.err.endswith(f"table: {table}\n")
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 9
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        writer.writerows(
            [*row[:-1], "flip" if row[0] in {name(one) for one in WRONG} else ""] for row in rows[1:]
        )
    good(home, "audit", "decide", "--from", table, "--who", "ann")
    hidden = good(home, "audit", "list", "--label", "red", "-k", 2)
    assert "note: 6 entries reviewed already left out" in hidden.err
    assert "note: 6 decisions since it was ranked: `olrsearch audit refit`" in hidden.err
    row = good(home, "audit", "refit", "--json").row
    assert list(row) == list(json_keys()["audit refit"][1])
    assert row["reviewed"] == 6
    assert "6 reviewed" in good(home, "audit", "refit").out
    (red,) = [row for row in good(home, "audit", "summary", "--json").rows if row["label"] == "Red"]
    assert (red["reviewed"], red["wrong"]) == (6, 6)


def test_show_says_what_every_scorer_says(audited, tmp_path):
    row = good(audited, "audit", "show", name(WRONG[0]), "red", "--json").row
    assert list(row) == list(json_keys()["audit show"][1])
    called = good(audited, "audit", "show", name(WRONG[0]), "red", "--out", tmp_path / "card.html")
    lines = called.out.splitlines()
    assert lines[0].startswith(f"Red of {name(WRONG[0])}: ")
    assert [line.split()[0] for line in lines[1:4]] == ["probability", "other-labels", "neighbours"]
    assert lines[4].split()[0] == row["evidence"][2]["images"][0]["key"]
    assert f"sheet: {tmp_path / 'card.html'}" in called.err
    assert (tmp_path / "card.html").read_text("utf-8").count("<figure") == 1 + len(
        row["evidence"][2]["images"]
    )


def test_summary_and_rules(audited, tmp_path):
    lines = good(audited, "audit", "summary").out.splitlines()
    rows = good(audited, "audit", "summary", "--json").rows
    assert list(rows[0]) == list(json_keys()["audit summary"][1])
    assert lines[0].split()[:2] == ["label", "entries"]
    assert [line.split()[0] for line in lines[1:]] == [row["label"] for row in rows]
    assert {row["label"] for row in rows} == set(LABELS)
    own = tmp_path / "rules.txt"
    own.write_text("never: red & framed\n")
    rules = good(audited, "audit", "rules", "--rules", own, "--json").rows
    assert list(rules[0]) == list(json_keys()["audit rules"][1])
    first = good(audited, "audit", "rules", "--rules", own).out.splitlines()[0]
    assert first.split()[0] == str(rules[0]["violations"])
    assert "Red and Framed exclude each other" in first
    assert rules[0]["examples"][0] in first


def test_sheets(audited, tmp_path):
    called = good(
        audited, "audit", "sheet", tmp_path / "a.html", "--label", "red", "--label", "bright", "-k", 3
    )
    assert called.err == f"sheet: {tmp_path / 'a.html'}\n"
    page = (tmp_path / "a.html").read_text("utf-8")
    assert page.count("<h2>") == 2
    assert page.count("<figure") == 6
    good(audited, "audit", "sheet", tmp_path / "a.png", "-k", 3)
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("list", "--label", "stripd"), ("unknown label 'stripd'", "did you mean Striped")),
        (("list", "--run", "audit-1"), ("no audit is called 'audit-1'", "there are audit-2")),
        (("list", "--unknown", "--given", "present"), ("leave one of the two out",)),
        (("show", "0999.png", "red"), ("no image '0999.png'",)),
        (("show", name(1), "red", "--out", "card.gif"), ("ends in .html or .png",)),
        (("sheet", "sheet.gif"), ("ends in .html or .png",)),
        (("run", "--labels", "stripd"), ("did you mean Striped",)),
        (("run", "--where", "colour = 1"), ("colour",)),
        (("run", "--scorers", "looks"), ("no scorer 'looks'",)),
        (("run", "--space", "nothing"), ("nothing",)),
        (("run", "--weights", "nothing.json"), ("nothing.json holds no weights",)),
        (("run", "--rules", "nothing.txt"), ("no file of rules at nothing.txt",)),
        (("run", "--resume"), ("there is no unfinished audit",)),
        (("delete", "audit-1"), ("no audit is called 'audit-1'",)),
        (("refit", "--run", "audit-1"), ("no audit is called 'audit-1'",)),
        (("rules", "--rules", "nothing.txt"), ("no file of rules",)),
    ],
)
def test_errors_are_one_line(audited, arguments, parts):
    line = refused(audited, "audit", *arguments)
    for part in parts:
        assert part in line


def test_without_an_audit_the_error_says_what_to_run(spoiled):
    for arguments in (("list",), ("show", name(1), "red"), ("summary",), ("sheet", "a.html"), ("refit",)):
        assert "no audit has been run in this store: run `olrsearch audit run`" in refused(
            spoiled, "audit", *arguments
        )
    nothing = good(spoiled, "audit", "runs")
    assert (nothing.out, "no audit has been run" in nothing.err) == ("", True)


def test_lists_load_nothing_heavy(audited):
    asked = (("list", "--json"), ("list", "--unknown"), ("summary",), ("runs",), ("--help",))
    assert_loads_none(audited, [("audit", *arguments) for arguments in asked], HEAVY)


def test_reading_an_audit_changes_nothing(home, tmp_path):
    def files():
        return {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}

    before = files()
    good(home, "audit", "list")
    good(home, "audit", "show", name(1), "red")
    good(home, "audit", "sheet", tmp_path / "a.html", "-k", 2)
    assert files() == before


def test_verify_knows_runs(home):
    assert good(home, "store", "verify").out.endswith("whole\n")
    (path,) = audit_folders(home / "runs")
    file = path / "present-1.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    called = call(home, "store", "verify", "--json")
    assert called.code == 1
    assert [item["code"] for item in json.loads(called.out)["problems"]] == ["audit"]
