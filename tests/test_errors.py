"""The check of numbers, and messages of bearable length."""

import math

import pytest

from gen_experiments.errors import UserError, check_interval, shortened


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("[0, 1)", [0, 0.5], [-1e-9, 1, math.nan, None, math.inf]),
        ("(0, 1]", [1e-300, 1], [0, 1.001, -math.inf]),
        ("[1, inf)", [1, 10**400], [0, math.inf, math.nan]),
        ("(-inf, inf)", [-1e308, 0], [math.inf, -math.inf, None]),
    ],
)
def test_numbers_outside_of_an_interval_are_refused(interval, inside, outside):
    for value in inside:
        check_interval(interval, value=value)
    for value in outside:
        with pytest.raises(UserError, match="value must be"):
            check_interval(interval, value=value)


def test_the_message_names_the_number_and_where_it_may_lie():
    with pytest.raises(UserError, match=r"^b must be >= 1, not 0$"):
        check_interval("[1, inf)", a=1, b=0)
    with pytest.raises(UserError, match=r"^c must be in \(0, 1\], not null$"):
        check_interval("(0, 1]", c=None)


def test_what_a_user_wrote_is_repeated_in_part_only():
    assert shortened("a\n  b") == "a b"
    assert shortened("red \x1b[31mtext\x00") == "red [31mtext"
    assert shortened("some words", 4) == "some …"
    assert len(shortened("x" * 5000)) < 400
    assert len(shortened("many words " * 5000)) < 1100
