"""The fields that explain, on real records: filled with the standard set, no reason to write by themselves, taken along by a score that moves."""

from datetime import date, timedelta
from pathlib import Path

from connectors.sandbox_kit import SandboxProcess
from tests.acceptance import orgs
from tests.acceptance.vendor import log_in, read_all
from worker.explain import explain_account
from worker.items import RunKind

HERE = Path(__file__).parent
FIELDS = "CSH_Health_Score__c, CSH_Way_Up__c, CSH_Sparkline__c, CSH_Delta_Split__c"
LIFT = "lift:\n  effort: 1\n  count: target - value\n  text: {en: 'name {count} more', ja: '担当者をあと{count}名登録する'}\n"


def _mappings(folder: Path) -> Path:
    """The acceptance mappings with the standard set; the number of contacts can be lifted."""
    target = orgs.lay_over(HERE / "mappings", folder / "mappings")
    back, people = target / "writeback.yml", target / "indicators" / "people.yml"
    back.write_text(back.read_text().replace("sets: [core]", "sets: [core, standard]"))
    people.write_text(people.read_text() + LIFT)
    return target


def _sundays(since: date, until: date) -> int:
    """Sundays from a day on, before another, among the last eleven."""
    return sum((until - timedelta(days=n)).isoweekday() == 7 and until - timedelta(days=n) >= since for n in range(1, 78))


def test_what_explains_is_written_with_the_score_and_never_for_itself(tmp_path: Path) -> None:
    """20 employees of 100 are 20 points, one contact 40: 30, tier 2. Tier 3 moves from 43; a second contact (70) gives 45."""
    with SandboxProcess(tmp_path / "org.db") as box, orgs.open_worker(box, tmp_path / "worker", _mappings(tmp_path), read_overlap_s=0) as worker:
        orgs.provision(box, worker.mappings, worker.settings)
        account = orgs.make_firm(box, 24).accounts[20]
        admin = log_in(box, "admin")
        ours = read_all(admin, "SELECT Id FROM PermissionSet WHERE Name = 'CSH_Integration'")[0]["Id"]
        admin.PermissionSetAssignment.create({"PermissionSetId": ours, "AssigneeId": box.user("csm")["id"]})
        csm = log_in(box, "csm")

        def record() -> tuple[object, ...]:
            found = read_all(csm, f"SELECT {FIELDS} FROM Account WHERE Id = '{account}'")[0]
            return tuple(found[name] for name in FIELDS.split(", "))

        worker.run(RunKind.FULL)
        way = "健康度3まで(43点以上を2日続けて、現在30点):担当者をあと1名登録する"
        assert record() == (30.0, way, "·" * 11 + "▂", None)
        for later in (timedelta(minutes=5), timedelta(days=1), timedelta(days=8)):  # a week on, the bars stand elsewhere
            report = worker.report(worker.run(RunKind.FULL, as_of=orgs.TODAY + later))
            assert report["changes"] == {"records": 0, "fields": 0}, later

        admin.Contact.create({"LastName": "鈴木", "AccountId": account})
        worker.run(RunKind.FULL, as_of=orgs.TODAY + timedelta(days=30))
        first = orgs.TODAY.date()
        before, bars = first + timedelta(days=2), _sundays(first, first + timedelta(days=30))
        there = "現在45点です。次の終値も43点以上なら健康度が上がります"
        split = f"{before.year}/{before.month}/{before.day}比 +15 = 信頼関係 +15、設定 0"
        assert record() == (45.0, there, "·" * (11 - bars) + "▂" * bars + "▃", split)
        told = explain_account(worker.runtime, worker.mappings, account)
        assert told is not None
        assert [(s["delta"], s["engagement"]) for s in told.why.splits] == [(15, 15), (15, 15)]
