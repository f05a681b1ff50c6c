"""What the platform fills in itself after a save: derived lookups, closing dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_ACCOUNT_OF = (
    'coalesce(CASE substr("WhatId", 1, 3) WHEN \'001\' THEN "WhatId" '
    + " ".join(
        f'WHEN \'{prefix}\' THEN (SELECT p."AccountId" FROM "{name}" p WHERE p."Id" = "WhatId")'
        for prefix, name in (("006", "Opportunity"), ("800", "Contract"), ("801", "Order"), ("02i", "Asset"), ("500", "Case"))
    )
    + ' END, (SELECT c."AccountId" FROM "Contact" c WHERE c."Id" = "WhoId"))'
)
_LINE = '(SELECT e.{0} FROM "PricebookEntry" e WHERE e."Id" = "PricebookEntryId")'
_MINUTES = "'+' || \"DurationInMinutes\" || ' minutes'"
_STAMP = "'%Y-%m-%dT%H:%M:%S.000+0000'"

# SQL run after a save of the object; {where} limits it to the saved rows. None of it moves SystemModstamp.
AFTER_SAVE: dict[str, tuple[str, ...]] = {
    "Task": (
        f'UPDATE "Task" SET "AccountId" = {_ACCOUNT_OF} WHERE {{where}}',
        'UPDATE "Task" SET "CompletedDateTime" = CASE WHEN "IsClosed" THEN coalesce("CompletedDateTime", "LastModifiedDate") END WHERE {where}',
    ),
    "Event": (
        f'UPDATE "Event" SET "AccountId" = {_ACCOUNT_OF}, "StartDateTime" = coalesce("StartDateTime", "ActivityDateTime") WHERE {{where}}',
        f'UPDATE "Event" SET "ActivityDateTime" = "StartDateTime", "ActivityDate" = coalesce(substr("StartDateTime", 1, 10), "ActivityDate"), '
        f'"EndDateTime" = coalesce("EndDateTime", strftime({_STAMP}, substr("StartDateTime", 1, 19), {_MINUTES})) WHERE {{where}}',
        'UPDATE "Event" SET "EndDate" = substr("EndDateTime", 1, 10), "DurationInMinutes" = coalesce("DurationInMinutes", '
        'CAST(round((julianday(substr("EndDateTime", 1, 19)) - julianday(substr("StartDateTime", 1, 19))) * 1440) AS INTEGER)) WHERE {where}',
    ),
    "Case": (
        'UPDATE "Case" SET "ClosedDate" = CASE WHEN "IsClosed" THEN coalesce("ClosedDate", "LastModifiedDate") END, '
        '"AccountId" = coalesce("AccountId", (SELECT c."AccountId" FROM "Contact" c WHERE c."Id" = "ContactId")) WHERE {where}',
    ),
    "Contract": (
        'UPDATE "Contract" SET "ActivatedDate" = "LastModifiedDate" WHERE "Status" = \'Activated\' AND "ActivatedDate" IS NULL AND {where}',
    ),
    "Opportunity": (
        "UPDATE \"Opportunity\" SET \"Probability\" = CASE WHEN \"StageName\" = 'Closed Won' THEN 100.0 WHEN \"StageName\" = 'Closed Lost' THEN 0.0 "
        "ELSE coalesce(\"Probability\", 10.0) END WHERE {where}",
    ),
    "OpportunityLineItem": (
        f'UPDATE "OpportunityLineItem" SET "Product2Id" = {_LINE.format(chr(34) + "Product2Id" + chr(34))} WHERE "Product2Id" IS NULL AND {{where}}',
    ),
    "OrderItem": (
        f'UPDATE "OrderItem" SET "Product2Id" = {_LINE.format(chr(34) + "Product2Id" + chr(34))} WHERE "Product2Id" IS NULL AND {{where}}',
    ),
}  # fmt: skip
PERMISSION_OBJECTS = frozenset({"PermissionSet", "PermissionSetAssignment", "FieldPermissions", "ObjectPermissions"})


def after_save(object_name: str, ids: Sequence[str]) -> list[tuple[str, list[Sequence[Any]]]]:
    """The statements to run for saved records, with their parameters."""
    found = AFTER_SAVE.get(object_name, ())
    if not found:
        return []
    return [(statement.replace("{where}", '"Id" = ?'), [(item,) for item in ids]) for statement in found]
