import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olrsearch.core.errors import QueryError, QuerySyntaxError
from olrsearch.search.query.ast import (
    And,
    Literal,
    Not,
    Or,
    canonical,
    conjunction,
    conjuncts,
    disjunction,
    negation,
    negation_normal_form,
    weighted,
)
from olrsearch.search.query.parser import MAX_LABELS, parse

names = st.one_of(
    st.sampled_from(
        ["Smiling", "wavy hair", "5 o Clock Shadow", "and", "not so", 'say "hi"', "a&b", "ünï", "x-y", "^2"]
    ),
    st.text(string.printable, min_size=1).filter(str.strip),
)
weights = st.one_of(st.sampled_from([1.0, 2.0, 0.5, 1e-5, 1e16]), st.floats(1e-6, 1e6))
nodes = st.recursive(
    st.builds(lambda name, weight: weighted(Literal(name), weight), names, weights),
    lambda inner: st.one_of(
        inner.map(negation),
        st.builds(weighted, st.lists(inner, min_size=1, max_size=4).map(conjunction), weights),
        st.builds(weighted, st.lists(inner, min_size=1, max_size=4).map(disjunction), weights),
    ),
    max_leaves=12,
)


def named(node):
    """The names a tree mentions, in the order written."""
    if isinstance(node, Literal):
        return [node.name]
    children = [node.child] if isinstance(node, Not) else node.children
    return [name for child in children for name in named(child)]


@given(nodes)
def test_canonical_spelling_parses_back_to_the_same_tree(node):
    assert parse(canonical(node)) == node
    assert canonical(parse(canonical(node))) == canonical(node)


@given(nodes)
def test_normal_form_negates_literals_only_and_is_stable(node):
    normal = negation_normal_form(node)
    assert negation_normal_form(normal) == normal
    assert list(dict.fromkeys(named(normal))) == list(dict.fromkeys(named(node)))
    for term in conjuncts(node):
        assert not isinstance(term, And)
        assert not isinstance(term, Not) or isinstance(term.child, Literal)


@given(st.text(alphabet="ab&|,!()^2. \"'-+NOTandor", max_size=30))
def test_any_text_parses_or_is_a_syntax_error_inside_it(text):
    try:
        node = parse(text)
    except QuerySyntaxError as error:
        inside = error.text == text and 0 <= error.position <= len(text)
    else:
        inside = parse(canonical(node)) == node
    assert inside


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("smiling & eyeglasses & !male", "smiling & eyeglasses & !male"),
        ("Smiling AND eyeglasses Or not male", "Smiling & eyeglasses | !male"),
        ("a, b | c", "a & b | c"),
        ("a & (b | c)", "a & (b | c)"),
        ("wavy   hair,5 o Clock Shadow", "wavy hair & 5 o Clock Shadow"),
        ("!smiling^2", "!smiling^2"),
        ("(!smiling)^2", "!smiling^2"),
        ("!(a|b)^.5", "!(a | b)^0.5"),
        ("(a^2)^3", "a^6"),
        ("!!a & ((b))", "a & b"),
        ("(a & b) & c", "a & b & c"),
        ('"this and that" | "say ""hi"""', '"this and that" | "say ""hi"""'),
        ("No_Beard&x-ray", "No_Beard & x-ray"),
        ("not not not a", "!a"),
        ("a^1e2 | b^1", "a^100 | b"),
    ],
)
def test_spellings(text, spelt):
    assert canonical(parse(text)) == spelt


def test_precedence():
    assert parse("a | b & !c^2") == Or((Literal("a"), And((Literal("b"), Not(Literal("c", 2.0))))))


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 0, "empty query"),
        ("   ", 3, "empty query"),
        ("a &", 3, "found the end"),
        ("a | | b", 4, "found '|'"),
        ("& a", 0, "expected a label"),
        ("(a | b", 6, "for the one at position 1"),
        ("(a ! b", 3, "closing parenthesis for the one at position 1, found '!'"),
        ("a)", 1, "without an opening"),
        ("()", 1, "expected a label"),
        ("a^-1", 2, "weight above 0"),
        ("a^nan", 2, "weight above 0"),
        ("a^inf", 2, "weight above 0"),
        ("a^0", 2, "above 0"),
        ("a^1e999", 2, "finite"),
        ("a^1e308", 2, "finite"),
        ("a^", 2, "found nothing"),
        ("a^2^3", 3, "expected &, |"),
        ("a (b)", 2, "expected &, |"),
        ('a "b"', 2, "expected &, |"),
        ("a + b", 2, "double quotes"),
        ('"a', 0, "closing quote"),
        ('a & ""', 4, "empty name"),
        ("not", 3, "expected a label"),
        ("(" * 100 + "a" + ")" * 100, 64, "flatter"),
        ("((a^1e200)^1e200)^2", 11, "finite"),
    ],
)
def test_syntax_errors_name_the_place(text, position, message):
    with pytest.raises(QuerySyntaxError, match=r"position \d+") as caught:
        parse(text)
    assert caught.value.position == position
    assert message in str(caught.value)
    assert f"position {position + 1}" in str(caught.value)


def test_names_in_other_scripts_are_told_to_be_quoted():
    assert parse("笑顔 & улыбка") == parse('"笑顔" & "улыбка"')
    for text, name in (("मुस्कान & male", "मुस्कान"), ("!Cafe\u0301", "Cafe\u0301"), ("a+b", "a+b")):
        with pytest.raises(QuerySyntaxError, match="need double quotes") as caught:
            parse(text)
        assert f'"{name}"' in str(caught.value)


def test_long_queries_do_not_exhaust_the_stack():
    assert len(parse(" & ".join(["a"] * MAX_LABELS)).children) == MAX_LABELS
    with pytest.raises(QuerySyntaxError, match="more than 1,000 labels"):
        parse(" & ".join(["a"] * 100_000))
    with pytest.raises(QuerySyntaxError, match="more than 50,000 words and signs"):
        parse("(" * 1_000_000)
    with pytest.raises(QuerySyntaxError, match="need double quotes, as here"):
        parse("\u0130\u0307" * 500_000)
    assert parse("word " * 100_000).name.count("word") == 100_000
    assert parse("!" * 5001 + "a") == Not(Literal("a"))


def test_empty_groups_and_bad_weights_are_refused_in_python_too():
    with pytest.raises(QueryError, match="at least one label"):
        conjunction([])
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(QueryError, match="above 0"):
            weighted(Literal("a"), weight)


def test_conjuncts_spread_weights():
    assert [canonical(term) for term in conjuncts(parse("(a & !b^2)^3 & (c | d) & !(e | f)"))] == [
        "a^3",
        "!b^6",
        "c | d",
        "!e",
        "!f",
    ]
