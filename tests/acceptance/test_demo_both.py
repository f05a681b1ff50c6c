"""`scoresync demo --crm both`: the demo's firm in two CRMs, recognised by domain, scored once, written to both, and nothing written again."""

from worker.demo_both import BothDemo
from worker.parity import parity
from worker.runtime import Runtime


def test_cs77_the_demo_on_both_crms_ends_with_the_same_values_in_each() -> None:
    with BothDemo(12, 1, crm="salesforce", other="hubspot") as demo:
        result = demo.run()
        runtime = Runtime.open(result.settings)
        try:
            compared = parity(runtime, result.mappings)
        finally:
            runtime.close()
    assert result.ok
    accounts = result.first["accounts"]
    match = result.first["connections"]["hubspot"]["match"]
    assert (match["by_domain"], match["records_unmatched"], match["ambiguous"]) == (accounts["in_crm"], 0, 0)
    parts = result.first["connections"]
    assert 0 < parts["hubspot"]["writes"]["ok"] <= parts["salesforce"]["writes"]["ok"]  # CSQLs are kept in the first alone
    assert (compared.accounts, compared.differences) == (accounts["in_crm"], [])
    assert [part["calls"]["writes"] for part in result.second["connections"].values()] == [0, 0]
