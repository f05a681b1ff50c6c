"""A person's score beside the computed one: read, never written; said while it is in force, and said why when it is not taken."""

from mappings.models import Mappings
from worker.steps._texts import text_sql

_IN_FORCE = {
    "en": "A person set {override_score} until {override_until}; the score beside it is computed as before",
    "ja": "担当者が{override_score}点に上書きしています({override_until}まで)。計算スコアは通常どおり更新されます",
}
_TOO_FAR = {
    "en": "The override is not taken: it ends on {override_until}, more than DAYS days ahead. Bring the date nearer",
    "ja": "上書きの期限({override_until})がDAYS日より先のため反映していません。期限を短くしてください",
}


def override_slots(mappings: Mappings) -> dict[str, str]:
    """Slots of the `decisions` query. After its last day an override is gone from the record's words by itself."""
    days = mappings.score.override_days
    slots = {}
    for lang in ("en", "ja"):
        far = text_sql(_TOO_FAR[lang].replace("DAYS", str(days)), lang)
        slots[f"override_state_{lang}"] = (
            f"(CASE WHEN override_score IS NOT NULL THEN {text_sql(_IN_FORCE[lang], lang)} WHEN override_until > as_of_on + {days} THEN {far} END)"
        )
    return slots
