"""churn.csv (square/pysurvival, Apache-2.0) as the lake that a CRM and a usage export would have left. The file is read where it lies."""

import csv
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from tests.factories import ON, Lake, instant

Customer = dict[str, str]
PRODUCTS = ("travel_expense", "payroll", "accounting")
#: indicator -> column of the file it ranks
RANKED = {
    "articles_viewed": "articles_viewed",
    "notifications_viewed": "smartphone_notifications_viewed",
    "emails_clicked": "marketing_emails_clicked",
    "ads_viewed": "social_media_ads_viewed",
}
#: feature of the usage export -> column; ads are touches in the CRM
FEATURES = {"article": "articles_viewed", "notification": "smartphone_notifications_viewed", "email": "marketing_emails_clicked"}
STARTED = date(2025, 1, 1)  # for all: tenure is no input


def read_customers(path: Path) -> list[Customer]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def account_id(n: int) -> str:
    return f"p{n:04d}"


def build_lake(customers: Sequence[Customer]) -> Lake:
    lake = Lake()
    file_id = lake.make_file("reactions")
    for n, customer in enumerate(customers):
        _add(lake, account_id(n), customer, file_id)
    return lake


def _add(lake: Lake, account: str, customer: Customer, file_id: str) -> None:
    """Active = an open contract line, Free-Trial = a trial, No = nothing. CSAT of 10 is kept as percent."""
    lake.make_account(account, segment=customer["company_size"], region=customer["us_region"])
    lake.make_contract(account, product="data_storage", starts_on=STARTED)
    for product in PRODUCTS:
        state = customer[f"product_{product}"]
        if state != "No":
            lake.make_contract(account, product=product, starts_on=STARTED, is_trial=state == "Free-Trial")
    for feature, column in FEATURES.items():
        lake.make_use(file_id, f"t-{account}", ON - timedelta(days=3), [], product="data_storage", feature=feature, events=int(customer[column]))
    for _ in range(int(customer["social_media_ads_viewed"])):
        lake.make_activity(account, kind="task")
    lake.make_ticket(account, closed_at=instant(ON - timedelta(days=9)), csat=10.0 * float(customer["csat_score"]))
