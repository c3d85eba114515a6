"""A condition is a table; its text is for people, never two tables have the same, and its key ignores order."""

from __future__ import annotations

import itertools

import pytest

from triptych import text

VALUES = [
    1,
    1.5,
    True,
    None,
    "1",
    "1.5",
    "true",
    "null",
    "",
    " ",
    "a",
    "a, b=c",
    '"a"',
    "a=b",
    ["dis", "dec"],
    '["dis", "dec"]',
    "['dis', 'dec']",
    {"a": 1},
    [[1], [2]],
    "NaN",
]


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        ({}, ""),
        ({"optimiser.rate": 0.001, "training.batch_size": 8}, "optimiser.rate=0.001, training.batch_size=8"),
        ({"optimiser.name": "RMSprop"}, "optimiser.name=RMSprop"),
        ({"training.order": ["dis", "dec"]}, 'training.order=["dis", "dec"]'),
        ({"options.a": "2"}, 'options.a="2"'),
    ],
)
def test_a_condition_in_words(table, shown):
    assert text.condition(table) == shown


def test_no_two_conditions_have_the_same_text_or_key():
    tables = [{"a": x, "b": y} for x, y in itertools.product(VALUES, VALUES)]
    assert len({text.condition(table) for table in tables}) == len(tables)
    assert len({text.condition_key(table) for table in tables}) == len(tables)


def test_the_key_does_not_depend_on_the_order_of_the_fields():
    assert text.condition_key({"a": 1, "b": [2]}) == text.condition_key({"b": [2], "a": 1})
