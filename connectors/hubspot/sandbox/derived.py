"""Values HubSpot computes from others of the same record: stages, amounts, recurring revenue."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from connectors.hubspot.sandbox.types import ObjectType
from connectors.hubspot.sandbox.values import iso, parse_moment

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.state import State

MONTHS = {"monthly": 1, "quarterly": 3, "per_six_months": 6, "annually": 12}
STAGED = {"0-3": ("pipeline", "dealstage"), "0-5": ("hs_pipeline", "hs_pipeline_stage"), "0-136": ("hs_pipeline", "hs_pipeline_stage")}
_PERIOD = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?")
Values = dict[str, str | None]


class Deriver:
    """Computes for one request; reads pipelines once."""

    def __init__(self, state: State, kind: ObjectType) -> None:
        self.kind = kind
        self.now = state.now_ms()
        rows = state.read("SELECT body FROM pipeline WHERE type = ?", (kind.id,)) if kind.id in STAGED else []
        self.pipelines = [orjson.loads(row[0]) for row in rows]

    def defaults(self, props: dict[str, str]) -> dict[str, str]:
        """What a new record gets when the writer leaves it out."""
        if self.kind.id not in STAGED or not self.pipelines:
            return {}
        pipeline, stage = STAGED[self.kind.id]
        found: dict[str, str] = {}
        if pipeline not in props:
            owner = next((item for item in self.pipelines if props.get(stage) in [entry["id"] for entry in item["stages"]]), self.pipelines[0])
            found[pipeline] = owner["id"]
        if stage not in props and self.kind.id == "0-136":
            found[stage] = self.pipelines[0]["stages"][0]["id"]
        return found

    def __call__(self, props: dict[str, str], created: int) -> Values:
        """Computed values (None clears) of a record as it will be stored."""
        if self.kind.id == "0-3":
            return self._deal(props)
        if self.kind.id == "0-5":
            return self._ticket(props, created)
        if self.kind.id == "0-8":
            return _line_item(props)
        return {}

    def _stage(self, key: str | None) -> dict[str, Any]:
        for pipeline in self.pipelines:
            for stage in pipeline["stages"]:
                if stage["id"] == key:
                    return dict(stage["metadata"])
        return {}

    def _deal(self, props: dict[str, str]) -> Values:
        stage = self._stage(props.get("dealstage"))
        closed = str(stage.get("isClosed", "false")).lower()
        won = str(closed == "true" and float(stage.get("probability", 0)) == 1).lower()
        chance = stage.get("probability")
        return {
            "hs_is_closed": closed, "hs_is_closed_won": won, "hs_deal_stage_probability": chance, "amount_in_home_currency": props.get("amount"),
        }  # fmt: skip

    def _ticket(self, props: dict[str, str], created: int) -> Values:
        if self._stage(props.get("hs_pipeline_stage")).get("ticketState") != "CLOSED":
            return {"closed_date": None, "time_to_close": None}
        closed = props.get("closed_date") or iso(self.now)
        ms = parse_moment(closed)
        return {"closed_date": closed, "time_to_close": str(max(0, (ms if ms is not None else self.now) - created))}


def _number(text: str | None, default: str) -> Decimal:
    return Decimal(text if text is not None else default)


def _line_item(props: dict[str, str]) -> Values:
    if "price" not in props:
        return {}
    quantity, price = _number(props.get("quantity"), "1"), _number(props["price"], "0")
    if "hs_discount_percentage" in props:
        price -= price * _number(props["hs_discount_percentage"], "0") / 100
    amount = quantity * (price - _number(props.get("discount"), "0"))
    found: Values = {"amount": _plain(amount)}
    months = MONTHS.get(props.get("recurringbillingfrequency", ""))
    term = _term(props.get("hs_recurring_billing_period"))
    if months is not None:
        monthly = amount / months
        found |= {"hs_mrr": _plain(monthly), "hs_arr": _plain(monthly * 12), "hs_acv": _plain(monthly * min(term or 12, 12))}
        found["hs_tcv"] = _plain(monthly * (term or 12))
    start = props.get("hs_recurring_billing_start_date")
    if start is not None and term:
        found["hs_recurring_billing_end_date"] = _later(date.fromisoformat(start), term).isoformat()
    return found


def _plain(value: Decimal) -> str:
    return f"{value.quantize(Decimal('0.01')):f}".rstrip("0").rstrip(".")


def _term(text: str | None) -> int | None:
    match = _PERIOD.fullmatch(text or "")
    months = int(match[1] or 0) * 12 + int(match[2] or 0) if match else 0
    return months or None


def _later(start: date, months: int) -> date:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, min(start.day, monthrange(year, month + 1)[1]))
