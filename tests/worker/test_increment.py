"""An increment's rows equal those of the full run, for whichever accounts it computes."""

import random
from datetime import timedelta

import duckdb
import pytest

from mappings.models import Mappings
from tests.factories import AS_OF, ON, Lake, instant, make_mappings, make_rule
from tests.worker.core import Row, decide, open_lake, rows

TABLES = ("accounts", "account_products", "scores", "parts", "decisions", "csql_desired")
MAPPINGS: Mappings = make_mappings(
    csql={"seats": make_rule(persist_days=0), "cross": make_rule("cross", over="not_owned", when="fit > 10", persist_days=0)}
)


def random_lake(seed: int) -> Lake:
    """Thirty accounts with everything an account can have: several versions, merges, resellers, shared keys, moved lines, CSQLs."""
    dice = random.Random(seed)
    lake = Lake()
    file = lake.make_file()
    names = [f"a{n:02d}" for n in range(30)]
    for n, name in enumerate(names):
        merged = n % 10 == 9
        lake.make_account(
            name, segment=dice.choice(["SMB", "Big", None]), deleted=merged, master_id=names[n - 1] if merged else None,
            match_key="shared" if n in (3, 4) else f"t-{name}", owner_id="sales",
        )  # fmt: skip
        for _ in range(dice.randrange(3)):
            product, user = dice.choice(["expense", "esign"]), dice.choice([None, dice.choice(names)])
            lake.make_contract(name, product=product, seats=dice.randrange(1, 90), mrr=dice.randrange(9) * 1000, end_user_id=user)
        for _ in range(dice.randrange(4)):
            lake.make_activity(name, ON - timedelta(days=dice.randrange(120)), kind=dice.choice(["call", "meeting", "qbr"]))
        if dice.random() < 0.3:
            lake.make_csql(name, external_key=f"{name}|expense|1", created_at=AS_OF - timedelta(days=3))
        for _ in range(dice.randrange(30)):
            users = [f"u{k}" for k in range(dice.randrange(1, 5))]
            lake.make_use(file, lake.rows["crm_account"][-1]["match_key"], ON - timedelta(days=dice.randrange(1, 90)), users)
    moved = dict(lake.rows["crm_contract"][0]) | {"account_id": names[7], "end_user_id": None, "modified_at": instant(ON)}
    lake.add("crm_contract", **moved)
    return lake


@pytest.mark.parametrize("seed", [1, 2])
def test_an_increment_equals_the_full_run(seed: int) -> None:
    con = open_lake(random_lake(seed))
    decide(con, MAPPINGS, keep=False)
    con.execute("INSERT INTO population_stats BY NAME SELECT *, current_date AS on_, now() AS as_of FROM population")
    whole = {table: rows(con, f"SELECT * FROM {table} ORDER BY ALL") for table in TABLES}
    everyone = sorted({r["account_id"] for r in whole["accounts"]})
    some = random.Random(seed).sample(everyone, 6)

    con.execute("CREATE TABLE wanted AS SELECT unnest(?) AS account_id", [some])
    decide(con, MAPPINGS, full=False, keep=False, only="wanted")

    for table in TABLES:
        assert rows(con, f"SELECT * FROM {table} ORDER BY ALL") == [r for r in whole[table] if r["account_id"] in some], table


def test_asking_for_a_merged_account_computes_its_survivor() -> None:
    con = open_lake(random_lake(1))
    con.execute("CREATE TABLE wanted AS SELECT 'a09' AS account_id")
    decide(con, MAPPINGS, full=False, keep=False, only="wanted")
    assert [r["account_id"] for r in rows(con, "SELECT * FROM accounts")] == ["a08"]


def test_two_full_runs_are_equal_to_the_last_bit() -> None:
    def once(threads: int) -> dict[str, list[Row]]:
        con = random_lake(3).into(duckdb.connect(config={"threads": threads}))
        decide(con, MAPPINGS, keep=False)
        return {table: rows(con, f"SELECT * FROM {table} ORDER BY ALL") for table in (*TABLES, "history", "signals")}

    assert once(1) == once(4)
