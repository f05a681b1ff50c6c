"""The AUC function on cases counted by hand."""

import pytest

from tests.validation.auc import auc


@pytest.mark.parametrize(
    ("scores", "positive", "expected"),
    [
        ([1, 2, 3, 4], [False, False, True, True], 1.0),
        ([4, 3, 2, 1], [False, False, True, True], 0.0),
        ([1, 3, 2, 4], [False, False, True, True], 0.75),  # of four pairs one is the wrong way round
        ([5, 5, 5], [True, False, False], 0.5),
        ([1, 2, 2, 3], [False, True, False, True], 0.875),  # three pairs right, one tie
    ],
)
def test_pairs(scores: list[float], positive: list[bool], expected: float) -> None:
    assert auc(scores, positive) == expected


def test_needs_both_kinds() -> None:
    with pytest.raises(ValueError, match="one negative"):
        auc([1, 2], [True, True])
