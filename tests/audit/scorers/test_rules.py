"""Rules are found where labels follow them, and nowhere else; a user's file says what it says."""

from __future__ import annotations

import numpy as np
import pytest

from olrsearch.audit.scorers.rule_file import read_rules
from olrsearch.audit.scorers.rules import count_rules, mine_rules, never, violations
from olrsearch.core.errors import AuditError, QuerySyntaxError, UnknownLabelError

NAMES = ("No_Beard", "Goatee", "Male", "Bangs", "5_o_Clock_Shadow")


def made(count=6000, seed=0, broken=5):
    """Labels where a goatee excludes No_Beard and implies Male, but for some; the other two are free."""
    rng = np.random.default_rng(seed)
    male = rng.random(count) < 0.5
    goatee = male & (rng.random(count) < 0.2)
    bare = ~goatee & (~male | (rng.random(count) < 0.5))
    free = rng.random((count, 2)) < [0.4, 0.3]
    given = np.where(np.column_stack([bare, goatee, male, free]), 1, -1).astype(np.int8)
    given[rng.choice(np.flatnonzero(goatee), broken, replace=False), 0] = 1
    return given


def told(rules):
    return {(rule.names, rule.values) for rule in rules}


def without_order(rules):
    return {(frozenset(zip(rule.names, rule.values, strict=True)), rule.observed) for rule in rules}


def test_what_labels_follow_is_found_and_nothing_else():
    given = made()
    before = given.copy()
    rules = mine_rules(NAMES, given)
    assert told(rules) == {
        (("No_Beard", "Goatee"), (1, 1)),
        (("Goatee", "Male"), (1, -1)),
        (("No_Beard", "Male"), (-1, -1)),
    }
    assert (given == before).all()
    exclusion = next(rule for rule in rules if rule.kind == "exclusion")
    bare, goatee = given[:, 0] > 0, given[:, 1] > 0
    assert (exclusion.labels, exclusion.images, exclusion.observed) == ((0, 1), 6000, 5)
    assert exclusion.support == (bare.sum(), goatee.sum())
    assert exclusion.expected == pytest.approx(bare.mean() * goatee.mean() * 6000)
    assert exclusion.confidence == pytest.approx(1 - 5 / goatee.sum())
    assert exclusion.lift == pytest.approx(5 / exclusion.expected)
    assert exclusion.lift < exclusion.limit < 0.2
    assert exclusion.source == "mined"


def test_rules_in_words():
    rules = mine_rules(NAMES, made())
    words = {rule.values: rule.text for rule in rules}
    goatees = (made()[:, 1] > 0).sum()
    assert words[1, 1].startswith(f"No_Beard and Goatee exclude each other: 5 of {goatees} have both, ")
    assert words[1, -1].startswith(f"Goatee implies Male: 0 of {goatees} with Goatee lack Male, ")
    assert words[-1, -1].startswith("No_Beard or Male is always there: 0 of ")
    assert "without No_Beard lack Male, " in words[-1, -1]
    common = np.ones((2000, 2), np.int8)
    common[:100, 0] = -1  # the implied label is rarer absent than the other one is present
    common[50:100, 1] = -1
    common[200:, 1] = -1
    (rule,) = count_rules([never((0, 1), (-1, 1), ("Hat", "Bald"))], common)
    assert rule.text == "Bald implies Hat: 50 of 100 without Hat have Bald, 8 expected"


def test_the_surest_rule_comes_first():
    limits = [rule.limit for rule in mine_rules(NAMES, made())]
    assert limits == sorted(limits)
    assert len(set(limits)) == 3


def test_names_decide_nothing():
    given = made()
    renamed = tuple(f"x{position}" for position in range(len(NAMES)))
    again = mine_rules(renamed, given)
    assert [(rule.labels, rule.values, rule.limit) for rule in again] == [
        (rule.labels, rule.values, rule.limit) for rule in mine_rules(NAMES, given)
    ]
    # Nor does their order.
    order = [3, 1, 4, 0, 2]
    moved = mine_rules([NAMES[place] for place in order], given[:, order])
    assert without_order(moved) == without_order(mine_rules(NAMES, given))


def test_unknown_labels_count_nowhere():
    given = made()
    rng = np.random.default_rng(1)
    given[rng.random(given.shape) < 0.3] = 0
    rule = next(rule for rule in mine_rules(NAMES, given) if rule.kind == "exclusion")
    known = (given[:, :2] != 0).all(axis=1)
    assert rule.images == known.sum()
    assert rule.support == ((given[known, 0] > 0).sum(), (given[known, 1] > 0).sum())
    assert rule.observed == (given[:, :2] > 0).all(axis=1).sum()
    more = np.concatenate([given, np.zeros((4000, given.shape[1]), np.int8)])
    assert mine_rules(NAMES, more) == mine_rules(NAMES, given)


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((0, 5), np.int8),
        np.zeros((50, 5), np.int8),
        np.ones((3000, 5), np.int8),
        -np.ones((3000, 5), np.int8),
        made(40, broken=1),
    ],
)
def test_too_little_is_no_rule_and_no_error(given):
    assert mine_rules(NAMES, given) == ()


def test_five_positives_are_no_rule():
    given = made()
    given[:, 3] = -1
    given[np.flatnonzero(given[:, 1] < 0)[:5], 3] = 1
    assert all("Bangs" not in rule.names for rule in mine_rules(NAMES, given))


def test_the_last_pair_of_alternatives_needs_less():
    rng = np.random.default_rng(2)
    colours = rng.choice(4, 20_000, p=[0.3, 0.3, 0.25, 0.15])
    given = np.where(np.arange(4) == colours[:, None], 1, -1).astype(np.int8)
    grey = np.flatnonzero(colours == 3)
    blond = rng.choice(grey, len(grey) // 14, replace=False)
    given[blond, 0] = 1
    names = ("Blond", "Black", "Brown", "Grey")
    rules = {rule.names: rule for rule in mine_rules(names, given) if rule.kind == "exclusion"}
    assert len(rules) == 6
    last = rules["Blond", "Grey"]
    assert last.confidence < 0.95
    alone = mine_rules(names[::3], given[:, ::3])
    assert not alone, "without the other colours it is a habit"
    # Nor is it one where the two are together as often as chance has it.
    given[rng.choice(grey, len(grey) // 3, replace=False), 0] = 1
    assert ("Blond", "Grey") not in {rule.names for rule in mine_rules(names, given)}


def test_a_habit_is_no_rule(monkeypatch):
    given = made(broken=200)
    goatees = (given[:, 1] > 0).sum()
    assert 200 / goatees > 0.05
    assert (("No_Beard", "Goatee"), (1, 1)) not in told(mine_rules(NAMES, given))
    monkeypatch.setattr("olrsearch.audit.scorers.rules.MOST_LIFT", 0.8)
    monkeypatch.setattr("olrsearch.audit.scorers.rules.LEAST_CONFIDENCE", 0.5)
    assert (("No_Beard", "Goatee"), (1, 1)) in told(mine_rules(NAMES, given))


def test_many_images_are_counted_in_blocks(monkeypatch):
    given = made()
    whole = mine_rules(NAMES, given)
    monkeypatch.setattr("olrsearch.audit.scorers.rules._BLOCK", 700)
    assert mine_rules(NAMES, given) == whole


def test_violations():
    given = made()
    rules = mine_rules(NAMES, given)
    rows, places = violations(rules, given)
    assert rows.dtype == places.dtype == np.int64
    assert np.bincount(places, minlength=len(rules)).tolist() == [rule.observed for rule in rules]
    for row, place in zip(rows, places, strict=True):
        rule = rules[place]
        assert tuple(given[row, list(rule.labels)]) == rule.values
    assert [len(part) for part in violations((), given)] == [0, 0]
    assert len(violations(rules, np.zeros_like(given))[0]) == 0


def written(tmp_path, text):
    path = tmp_path / "rules.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_rules(tmp_path):
    path = written(
        tmp_path,
        """\
        # what cannot be
        never: bangs & GOATEE     # in any spelling

        always: Goatee -> male
        Always: no beard -> !Goatee
        NEVER: !no-beard, !Male
        at most one: No_Beard, Goatee, "5_o_Clock_Shadow"
        """,
    )
    rules = read_rules(path, NAMES)
    assert [(rule.labels, rule.values) for rule in rules] == [
        ((1, 3), (1, 1)),
        ((1, 2), (1, -1)),
        ((0, 1), (1, 1)),
        ((0, 2), (-1, -1)),
        ((0, 4), (1, 1)),
        ((1, 4), (1, 1)),
    ], "the exclusion that is said twice is there once"
    assert rules[1].names == ("Goatee", "Male")
    assert {rule.source for rule in rules} == {"file"}
    assert "no image knows both" in rules[0].text
    assert np.isnan(rules[0].confidence)
    assert np.isnan(rules[0].lift)
    given = made()
    counted = count_rules(rules, given)
    assert counted[2].observed == 5
    assert {rule.source for rule in counted} == {"file"}
    mined = {(rule.labels, rule.values): rule for rule in mine_rules(NAMES, given)}
    assert counted[1].text == mined[counted[1].labels, counted[1].values].text


def test_names_with_other_characters(tmp_path):
    path = written(tmp_path, 'always: "a -> b" -> "# c"\n')
    (rule,) = read_rules(path, ("# c", "a -> b"))
    assert (rule.labels, rule.values) == ((1, 0), (1, -1))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Bald & Bangs", "expected `never: A & B`"),
        ("sometimes: Goatee & Bangs", "expected `never: A & B`"),
        ("never: Goatee", "expected two labels joined by &, found 1"),
        ("never: Goatee & Male & Bangs", "expected two labels joined by &, found 3"),
        ("never: Goatee -> Male", "with 1 arrows"),
        ("always: Goatee & Male", "with 0 arrows"),
        ("always: Goatee -> Male -> Bangs", "with 2 arrows"),
        ("always: Goatee & Bangs -> Male", "one label on either side"),
        ("never: Goatee | Male", "without weights"),
        ("never: Goatee^2 & Male", "without weights"),
        ("never: (Goatee & Male)^2", "without weights"),
        ("never: Goatee & !goatee", "expected different labels"),
        ("at most one: Goatee", "expected different labels"),
    ],
)
def test_a_line_that_is_no_rule(tmp_path, line, message):
    path = written(tmp_path, f"# one\n\n{line}\n")
    with pytest.raises(AuditError, match=message) as caught:
        read_rules(path, NAMES)
    assert str(caught.value).startswith(f"{path}, line 3: ")


def test_a_line_that_does_not_parse(tmp_path):
    path = written(tmp_path, "never: Goatee & (Male\n")
    with pytest.raises(QuerySyntaxError, match="line 1: "):
        read_rules(path, NAMES)
    with pytest.raises(QuerySyntaxError, match="line 2: an empty query"):
        read_rules(written(tmp_path, "\nalways: Goatee ->\n"), NAMES)


def test_an_unknown_name(tmp_path):
    path = written(tmp_path, "never: Goate & Male\n")
    with pytest.raises(
        UnknownLabelError, match=r"line 1: unknown label 'Goate'; did you mean Goatee"
    ) as caught:
        read_rules(path, NAMES)
    assert caught.value.nearest[0] == "Goatee"


def test_files_that_are_none(tmp_path):
    with pytest.raises(AuditError, match="no file of rules at"):
        read_rules(tmp_path / "none", NAMES)
    with pytest.raises(AuditError, match="cannot read the file of rules"):
        read_rules(tmp_path, NAMES)
    with pytest.raises(AuditError, match="holds no rule"):
        read_rules(written(tmp_path, "# nothing\n"), NAMES)
    path = tmp_path / "latin"
    path.write_bytes(b"never: \xe9 & b\n")
    with pytest.raises(AuditError, match="save it as UTF-8"):
        read_rules(path, NAMES)
