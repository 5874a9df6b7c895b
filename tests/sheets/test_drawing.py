"""Contact sheets: whole, self-contained, escaped."""

import dataclasses
import stat

import pytest
from command import good
from pages import read_page
from pictures import jpeg
from PIL import Image, ImageDraw, ImageFont

from olrsearch import Contribution, Hit, OlrsearchError, Ranking, Store
from olrsearch.sheets import Bar, Card, Sheet, drawing, ranking_sheet, write_sheet
from olrsearch.sheets.drawing import render_png


def hit(rank, key="a.jpg", probabilities=(0.9, 0.5), **more):
    parts = tuple(
        Contribution(f"Label{number}", -0.1 * (number + 1), chance)
        for number, chance in enumerate(probabilities)
    )
    score = sum(part.value for part in parts)
    return Hit(rank, rank, key, f"img/{key}", -score, score, parts, **more)


def ranking(*hits, query="Label0 & Label1", **more):
    fields = {"candidates": 100, "total": 100, "generation": 7} | more
    return Ranking(query, hits, **fields)


def test_html_is_well_formed_and_self_contained(tmp_path):
    asked = (Card("asked.jpg", "asked", jpeg(form="PNG")),)
    sheet = ranking_sheet(ranking(hit(1), hit(2, "b.jpg"), notes=("a note",)), lambda _: jpeg(), asked=asked)
    page = read_page(write_sheet(sheet, tmp_path / "sheet.html"))
    assert page.tags.count("img") == page.tags.count("figure") == 3
    assert all(link.startswith("data:image/") for link in page.links)
    assert page.links[0].startswith("data:image/png;")
    assert page.links[1].startswith("data:image/jpeg;")
    text = " ".join(page.text)
    for part in (
        "Label0 & Label1",
        "a note",
        "1. a.jpg",
        "2. b.jpg",
        "Label0",
        "0.90",
        "p = 0.74",
        "state 7 of the store",
    ):
        assert part in text


def test_html_escapes_everything_of_the_users(tmp_path):
    bad = '<script>alert("x")</script>'
    attack = hit(1, bad + "\"' onload=y")
    sheet = ranking_sheet(
        ranking(attack, query=bad, notes=(bad,)), lambda _: jpeg(), asked=(Card(bad, bad, None),)
    )
    sheet = Sheet(
        sheet.heading, sheet.summary, (*sheet.cards, Card(bad, bad, None, (Bar(bad, bad, 0.5),))), sheet.notes
    )
    path = write_sheet(sheet, tmp_path / "sheet.html")
    page = read_page(path)
    assert "script" not in page.tags
    assert "<script" not in path.read_text()
    assert bad in " ".join(page.text)


def test_control_characters_are_shown(tmp_path):
    sheet = Sheet("Labels", "decided: flip by a\x07nn", (), notes=("dark\x1b[2J",))
    text = write_sheet(sheet, tmp_path / "sheet.html").read_text()
    assert "a\\x07nn" in text
    assert "dark\\x1b[2J" in text
    assert not {"\x07", "\x1b"} & set(text)


def test_missing_pictures_and_empty_answers_are_said(tmp_path):
    page = read_page(write_sheet(ranking_sheet(ranking(hit(1)), lambda _: None), tmp_path / "gone.html"))
    assert "img" not in page.tags
    assert "picture not available" in " ".join(page.text)
    empty = ranking_sheet(ranking(total=0), lambda _: None)
    assert "No image answers this query." in " ".join(
        read_page(write_sheet(empty, tmp_path / "empty.htm")).text
    )
    assert "above the cut-off (100 ranked)" in empty.summary


def test_png_sizes_follow_the_cards(tmp_path):
    cards = tuple(hit(rank) for rank in range(1, 8))
    sheet = ranking_sheet(ranking(*cards), lambda _: jpeg())
    path = write_sheet(sheet, tmp_path / "deep" / "sheet.png", columns=3)
    with Image.open(path) as image:
        assert image.format == "PNG"
        three = image.size
    with render_png(sheet, columns=7) as image:
        seven = image.size
    assert seven[0] > three[0]
    assert seven[1] < three[1]
    assert three[0] == 12 + 3 * (160 + 12)
    rows = three[1] - seven[1]
    assert rows % 2 == 0  # two rows fewer
    empty = render_png(ranking_sheet(ranking(total=0), lambda _: None))
    assert empty.size[0] >= 480


def test_png_shows_pictures_and_gaps():
    sheet = Sheet("heading", "summary", (Card("a", "s", jpeg("red", (160, 196))), Card("b", "s", None)))
    image = render_png(sheet, columns=2)
    header = image.size[1] - (196 + 12 + 15 * 2 + 6)
    assert image.getpixel((12 + 80, header + 90))[0] > 200
    assert image.getpixel((12 + 172 + 80, header + 40)) == (214, 214, 210)


def test_png_shortens_what_is_too_long():
    long = "x" * 4000
    sheet = Sheet(
        long, long, (Card(long, long, None, (Bar(long, "0.5", 2.0), Bar("b", "0", -1.0))),), (long,)
    )
    assert render_png(sheet).size[0] == 480


def test_notes_of_a_png_are_wrapped_and_scores_of_cards_fit():
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    font = ImageFont.load_default(11)
    parts = tuple(Contribution(f"L{number:02}", -float(number)) for number in range(40))
    odd = Hit(1, 1, "a", "a", 1234.56, -1234.56, parts, fit=6.159e-07, similarity=0.98989)
    sheet = ranking_sheet(ranking(odd), lambda _: None)
    assert sheet.cards[0].score == "99.0 % · score -1235 · foreign"
    assert draw.textlength(sheet.cards[0].score, font) <= 160
    legend = " ".join(sheet.notes)
    assert "bars of scores: the parts most apart, and what each adds" in legend
    assert "foreign: unlike the images that the encoder was trained on" in legend
    for note in sheet.notes:
        lines = drawing._wrapped(draw, note, font, 456)
        assert " ".join(lines) == note
        assert all(draw.textlength(line, font) <= 456 for line in lines)
    assert render_png(sheet).height > render_png(dataclasses.replace(sheet, notes=())).height + 15 * 3


def test_similarity_cards_show_distances_and_few_bars():
    parts = tuple(Contribution(f"L{number:02}", -float(number)) for number in range(40))
    far = Hit(1, 1, "a", "a", 780.0, -780.0, parts)
    (card,) = ranking_sheet(ranking(far), lambda _: None).cards
    assert card.score == "score -780"
    assert [bar.label for bar in card.bars] == ["L39", "L38", "L37"]
    assert all(0 <= bar.fill <= 1 for bar in card.bars)


def test_scores_of_distances_are_told_as_shares_and_bars_have_one_scale():
    best = (Contribution("A", 50.0), Contribution("B", 2.7))
    worst = (Contribution("A", -2.0), Contribution("B", 1.0))
    near = Hit(1, 1, "a", "a", -52.7, 52.7, best, similarity=1.0)
    far = Hit(2, 2, "b", "b", 1.0, -1.0, worst, similarity=0.98989)
    sheet = ranking_sheet(ranking(near, far), lambda _: None)
    assert [card.score for card in sheet.cards] == [
        "100.0 % · score 52.7",
        "99.0 % · score -1",
    ]
    bars = [bar for card in sheet.cards for bar in card.bars]
    assert [(bar.label, bar.text) for bar in bars] == [("A", "50"), ("B", "2.7"), ("A", "-2"), ("B", "1")]
    assert sorted(bars, key=lambda bar: float(bar.text)) == sorted(bars, key=lambda bar: bar.fill)
    assert (min(bar.fill for bar in bars), max(bar.fill for bar in bars)) == pytest.approx((0.1, 1.0))
    legend = " ".join(sheet.notes)
    for said in ("of the other 99 images", "score: minus the distance", "full is 50", "a tenth -2"):
        assert said in legend
    assert "exact" not in sheet.summary
    assert "nothing better was missed" in sheet.summary


def test_a_sheet_replaces_another_only_when_it_is_whole(tmp_path, monkeypatch):
    sheet = ranking_sheet(ranking(hit(1)), lambda _: jpeg())
    path = write_sheet(sheet, tmp_path / "sheet.html")
    whole = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.replace", fail)
        with pytest.raises(KeyboardInterrupt):
            write_sheet(ranking_sheet(ranking(hit(1, "other.jpg")), lambda _: jpeg()), path)
    assert path.read_bytes() == whole
    assert [item.name for item in tmp_path.iterdir()] == ["sheet.html"]
    write_sheet(ranking_sheet(ranking(hit(1, "other.jpg")), lambda _: jpeg()), path)
    assert b"other.jpg" in path.read_bytes()


@pytest.mark.parametrize("name", ["sheet.pdf", "sheet"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(OlrsearchError, match=r"\.html or \.png"):
        write_sheet(ranking_sheet(ranking(hit(1)), lambda _: None), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_sheets_of_a_store(gallery, tmp_path):
    with Store.open(gallery.store, read_only=True) as store:
        found = store.search("bright & striped", 6)
        page = read_page(store.sheet(found, tmp_path / "search.html"))
        assert page.tags.count("img") == 6
        path = store.sheet(
            store.similar("0001.png", k=4), tmp_path / "similar.png", asked=["0001.png"], columns=5
        )
        with Image.open(path) as image:
            assert image.size[0] == 12 + 5 * 172
    called = good(
        gallery.store,
        "similar",
        "0001.png",
        "-k",
        3,
        "--sheet",
        tmp_path / "a.html",
        "--sheet",
        tmp_path / "a.png",
    )
    assert called.err.count("sheet: ") == 2
    assert read_page(tmp_path / "a.html").tags.count("figure") == 4
