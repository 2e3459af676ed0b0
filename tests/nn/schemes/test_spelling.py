"""Schemes in one word."""

from __future__ import annotations

import pytest

from paconv.errors import UsageError
from paconv.nn.schemes import make_scheme, parse_scheme


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("pa", make_scheme("pa", 4, 5)),
        ("pa:8,7", make_scheme("pa", 8, 7)),
        ("pa:8", make_scheme("pa", 8, 5)),
        ("pa:4,full", make_scheme("pa", 4, None)),
        ("bireal", make_scheme("bireal")),
        ("bwn:1,full", make_scheme("bwn")),
    ],
)
def test_a_word_names_a_scheme_and_its_planes(text, scheme):
    assert parse_scheme(text) == scheme


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("magic:1,1", "scheme: expected pa, .*; found 'magic'"),
        ("pa:4,5,6", "pa:4,5,6: expected NAME, NAME:M or NAME:M,N, such as pa:4,5 or pa:4,full"),
        ("pa:four", "pa:four: expected a whole number or full, found 'four'"),
        ("pa:", "pa:: expected a whole number or full, found ''"),
        ("pa:9", "must be 1..8; found 9"),
        ("pa:full", "M"),
        ("bireal:2,1", "Bi-Real Net has M=1, N=1; found M=2, N=1"),
    ],
)
def test_what_names_no_scheme_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse_scheme(text)
