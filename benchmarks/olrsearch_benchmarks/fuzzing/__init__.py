"""Parsers fed with made input: whatever is refused is refused by name.

Every module beside this one that has `PARSERS` is a part: it says what its parsers read and how input
for them is made, as `queries.py` does. `harness.py` runs them, `making.py` has what makers of input share.
"""
