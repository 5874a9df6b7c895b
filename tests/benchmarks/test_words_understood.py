"""The lists of words, and what is made of them; with figures that must not fall."""

import pytest
from made_posteriors import faces
from olrsearch_benchmarks.words.other_words import OTHER_WORDS
from olrsearch_benchmarks.words.understanding import (
    DEVELOPMENT,
    FIXED,
    MEANT,
    ask,
    by_kind,
    fit_weights,
    held_out,
    read_list,
    run_words,
    ways,
)

from olrsearch.core.errors import BenchmarkError
from olrsearch.encoders.words.likeness import SentenceVectors
from olrsearch.encoders.words.meanings import read_meanings
from olrsearch.encoders.words.negation import plain
from olrsearch.encoders.words.sentences import find_sentences
from olrsearch.encoders.words.understanding import Understanding

CELEBA = tuple(
    sorted({asked.label for word in read_list(FIXED) for meaning in word.right for asked in meaning})
)
"""The labels of CelebA: the list asks for every one."""


def test_the_lists_are_whole_and_have_no_word_in_common():
    fixed, development = read_list(FIXED), read_list(DEVELOPMENT)
    assert (len(fixed), len(development)) == (200, 187)
    texts = [plain(word.text) for word in (*fixed, *development)]
    assert len(set(texts)) == 387
    assert len(CELEBA) == 40
    table = {plain(word) for word in held_out(read_meanings()).words()}
    assert not table & {*texts, *(word for word, _ in OTHER_WORDS)}


def test_without_any_encoder_the_table_and_grammar_answer_the_fixed_list():
    answers = ask(Understanding(CELEBA, vectors=None), read_list(FIXED))
    assert not any(answer.opposite for answer in answers)
    assert min(by_kind(answers).values()) == 1.0


@pytest.mark.slow
@pytest.mark.skipif(find_sentences() is None, reason="the sentence encoder is not installed")
def test_the_figures_of_the_sentence_encoder_do_not_fall():
    found = {way: ask(understanding, read_list(FIXED)) for way, understanding in ways(CELEBA).items()}
    shipped, alone = by_kind(found["sentence encoder"]), by_kind(found["held out, sentence encoder"])
    assert shipped["synonym"] >= 0.8
    assert shipped["unrelated"] >= 0.9
    assert alone["synonym"] >= 0.7  # it was .753 before phrases that lose known words were refused
    assert alone["opposite"] >= 0.9
    assert alone["unrelated"] >= 0.9
    for way, answers in found.items():
        asked = [answer for answer in answers if answer.word.kind in MEANT]
        assert sum(answer.opposite for answer in asked) <= (0.015 if "held" in way else 0.01) * len(asked)
    assert fit_weights(CELEBA, SentenceVectors()) == pytest.approx(SentenceVectors.weights, abs=0.2)


def test_other_labels_are_refused_by_name():
    with pytest.raises(BenchmarkError, match="does not know 5_o_Clock_Shadow"):
        run_words(faces(200))
