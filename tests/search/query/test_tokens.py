import pytest

from olrsearch.core.errors import QuerySyntaxError
from olrsearch.search.query.tokens import MAX_DEPTH, Token, Tokens, after_spaces


def tokens(text):
    """Tokens of one character each; letters have no sign."""
    signs = [Token("sign", one, at, "" if one.isalpha() else one) for at, one in enumerate(text)]
    return Tokens(text, [*signs, Token("end", "", len(text))])


def test_lists_and_groups_are_read_as_they_are_nested():
    found = tokens("(a+(b+c))")

    def part():
        return found.group(parts) if found.next.sign == "(" else found.take().text

    def parts():
        return found.listed(part, "+")

    assert found.group(parts) == ["a", ["b", "c"]]
    assert found.next.kind == "end"


def test_what_is_missing_is_named_with_its_place():
    found = tokens("(a")
    with pytest.raises(
        QuerySyntaxError, match="closing parenthesis for the one at position 1, found the end"
    ):
        found.group(found.take)
    found = tokens("a'")
    with pytest.raises(QuerySyntaxError, match="expected a sum, found 'a'"):
        found.expect("+", "a sum")
    assert [found.take().found, found.take().found] == ["'a'", "'"]


def test_groups_are_no_deeper_than_python_can_follow():
    found = tokens("(" * (MAX_DEPTH + 1))

    def inner():
        return found.group(inner)

    with pytest.raises(QuerySyntaxError, match="write it flatter") as caught:
        inner()
    assert caught.value.position == MAX_DEPTH


def test_spaces_are_passed_over():
    assert [after_spaces("a \t b", position) for position in (0, 1, 4, 5)] == [0, 4, 4, 5]
