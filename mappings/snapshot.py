"""Mappings as text: what a run pins, and the version that is stamped on a score."""

import hashlib
import json
from typing import Any

from mappings.models import Indicator, Mappings

#: Of an indicator and a cap, what a score depends on. Texts are left out: a typo in a reason must not restamp every record.
_INDICATOR = {"name", "axis", "feed", "unit", "window_days", "direction", "ttl_days", "observed_on", "expression", "mapping"}
_CAP = {"name", "when", "cap"}


def snapshot(mappings: Mappings) -> str:
    """Canonical JSON: equal mappings give equal text. Order of keys is kept, since it is the order of reasons with equal weight."""
    return mappings.model_dump_json()


def restore(text: str) -> Mappings:
    """The mappings of a snapshot, equal to the ones it was made of."""
    return Mappings.model_validate_json(text)


def _indicator(indicator: Indicator) -> dict[str, Any]:
    """What came later is left out where it is not used, so that it restamps no record."""
    told: dict[str, Any] = indicator.model_dump(mode="json", include=_INDICATOR)
    if indicator.answers is not None:
        told |= {"answers": indicator.answers, "answers_min": indicator.answers_min}
    if told["mapping"].get("fallback", 0) is None:
        del told["mapping"]["fallback"]
    return told


def config_version(mappings: Mappings, profile_name: str) -> str:
    """First 12 hex digits of sha256 over what decides a score of this profile. KeyError for a profile that does not exist."""
    profiles = {profile.name: profile for profile in mappings.score.profiles}
    profile, score = profiles[profile_name], mappings.score
    used = sorted({name for axis in profile.axes.values() for name in axis.indicators})
    what: dict[str, Any] = {
        "profile": profile.model_dump(mode="json", exclude={"title"}),
        "indicators": [_indicator(mappings.indicators[name]) for name in used],
        "caps": [cap.model_dump(mode="json", include=_CAP) for cap in score.caps],
        "tiers": score.tiers.model_dump(mode="json"),
        "coverage_min": score.coverage_min,
        "axes_min": score.axes_min,
    }
    if score.rollup != "none":  # only where it is used, so that a switch nobody turns restamps no record
        what["rollup"] = score.rollup
    return hashlib.sha256(json.dumps(what, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]
