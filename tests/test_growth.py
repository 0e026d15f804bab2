"""The measure by which other tests judge: quadratic work is caught, linear work passes."""

from __future__ import annotations

import pytest

from tests.growth import Work, assert_linear, compared, growth


def linear(size: int) -> Work:
    return lambda: [number * 3 for number in range(size)]


def quadratic(size: int) -> Work:
    def work() -> None:
        rest = bytes(size)
        while rest:
            rest = rest[100:]

    return work


def searching(size: int) -> Work:
    """A search through all that waits, as in a list that ought to be a heap."""
    return lambda: [number in range(0) or number in [*range(number)] for number in range(size)]


def test_linear_work_passes() -> None:
    assert_linear(linear, 400_000)


@pytest.mark.parametrize(("work", "size"), [(quadratic, 1_200_000), (searching, 2000)])
def test_quadratic_work_is_caught(work: object, size: int) -> None:
    with pytest.raises(AssertionError, match="4 times the size takes"):
        assert_linear(work, size)  # type: ignore[arg-type]


def test_work_that_ends_at_once_is_not_divided_by_noise() -> None:
    assert growth(quadratic, 400) < 1


def test_the_same_work_costs_the_same() -> None:
    assert 0.5 < compared(linear(100_000), linear(100_000)) < 2
