"""The mean change over outcomes is not rounded before the indicator rounds its value."""

import pytest

from tests.factories import Lake, make_mappings
from tests.worker.core import by, join


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([(30, 50), (200, 200)], 100 / 3),  # 66.666... and 0: rounded to six decimals first, their mean would be 33.3333335
        ([(30, 52), (200, 60)], 5 / 3),  # 73.333... and -70
        ([(3, 4), (3, 4), (3, 4)], 100 / 3),
        ([(7, 8), (7, 6)], 0.0),  # 14.2857... and as much less
    ],
)
def test_mean_change_is_exact_to_nine_decimals(changes: list[tuple[float, float]], expected: float) -> None:
    lake = Lake()
    lake.make_account("A1")
    lake.make_contract("A1")
    for baseline, now in changes:
        lake.make_outcome("A1", baseline=float(baseline), current_value=float(now))
    con, _ = join(lake, make_mappings())
    assert by(con, "accounts")["A1"]["outcome_change"] == pytest.approx(expected, abs=1e-9)
