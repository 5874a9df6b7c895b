"""Sheets of an audit, and the companions and sections they brought to all sheets."""

import pytest
from made_audits import WRONG
from pages import read_page
from pictures import jpeg, name
from PIL import Image

from olrsearch import OlrsearchError, Store
from olrsearch.sheets import Bar, Card, Companion, Section, Sheet, write_sheet
from olrsearch.sheets.drawing import render_png


@pytest.fixture
def store(audited, scorers):
    with Store.open(audited, read_only=True) as opened:
        yield opened
    assert scorers.calls == []


@pytest.mark.slow
def test_a_sheet_of_labels(store, tmp_path):
    path = store.audit.sheet(tmp_path / "suspects.html", labels=["red", "framed"], k=len(WRONG))
    page = read_page(path)
    text = " ".join(page.text)
    assert page.tags.count("section") == page.tags.count("h2") == 2
    assert page.tags.count("figure") == 2 * len(WRONG)
    assert {"Red", "Framed"} <= {part.strip() for part in page.text}
    for row in WRONG:
        assert name(row) in text
    first = store.audit.list("red", 1).issues[0]
    assert f"1. {first.key}" in text
    assert f"{first.score:.2g}" in text
    assert page.text.count("together") == page.text.count("probability") == 2 * len(WRONG)
    near = [
        len(item.images)
        for item in store.audit.show(first.key, "red").evidence
        if item.scorer == "neighbours"
    ]
    assert near[0] > 0
    assert page.tags.count("img") > 2 * len(WRONG)  # those beside them
    assert "images like it that are labelled the other way" in text


def test_a_sheet_over_all_labels(store, tmp_path):
    page = read_page(store.audit.sheet(tmp_path / "all.html", k=4))
    assert page.tags.count("figure") == 4
    best = store.audit.list(k=1).issues[0]
    words = {1: "present", -1: "absent"}
    assert any(f"{best.label}: {words[best.given]} > {words[best.suggested]}" in part for part in page.text)


def test_a_sheet_as_a_png(store, tmp_path):
    with Image.open(store.audit.sheet(tmp_path / "red.png", labels=["red"], k=5, columns=5)) as image:
        assert image.size[0] == 12 + 5 * (160 + 12 + 38 + 4)
    with pytest.raises(OlrsearchError, match=r"\.html or \.png"):
        store.audit.sheet(tmp_path / "red.pdf")


def test_a_card_of_one_entry(store, tmp_path):
    entry = store.audit.show(name(WRONG[0]), "red")
    page = read_page(store.audit.card(entry, tmp_path / "card.html"))
    text = " ".join(page.text)
    assert f"Red of {name(WRONG[0])}" in text
    assert "neighbours: by its neighbours" in text
    images = [image for item in entry.evidence for image in item.images]
    assert page.tags.count("figure") == 1 + len(images)
    for image in images:
        assert image.key in text
    with Image.open(store.audit.card(entry, tmp_path / "card.png")) as image:
        assert image.size[1] > 300


def test_an_empty_section_says_so(tmp_path):
    sheet = Sheet("heading", "summary", (), sections=(Section("Red", "0 of 0", ()),))
    assert "Nothing is left to show." in " ".join(read_page(write_sheet(sheet, tmp_path / "a.html")).text)
    assert render_png(sheet).size[0] >= 480


def test_companions_stand_beside_their_picture(tmp_path):
    bad = '"><script>alert(1)</script>'
    beside = (*(Companion(f"{number}", jpeg("red", (40, 50))) for number in range(3)), Companion(bad, None))
    pair = Card("a", "s", jpeg("blue", (160, 196)), (Bar("b", "0.5", 0.5),), companions=beside)
    alone = Card("c", "s", jpeg("blue", (160, 196)))
    sheet = Sheet("heading", "summary", (), sections=(Section("One", "2 of 2", (pair, alone)),))
    page = read_page(write_sheet(sheet, tmp_path / "a.html"))
    assert "script" not in page.tags
    assert page.tags.count("img") == 5
    image = render_png(sheet, columns=2)
    assert image.size[0] == max(480, 12 + 2 * (160 + 12 + 42))
    top = next(
        row
        for row in range(image.size[1])
        if image.getpixel((12 + 80, row))[2] > 200 > image.getpixel((12 + 80, row))[0]
    )
    column = 12 + 160 + 4 + 19
    reds = [image.getpixel((column, top + 23 + number * 50))[0] > 200 for number in range(4)]
    assert reds[:3] == [True] * 3
    assert image.getpixel((column, top + 23 + 150)) == (214, 214, 210)
    assert image.getpixel((column + 214, top + 23)) == (250, 250, 248)  # the card without any
