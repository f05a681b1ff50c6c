"""Columns of what was set up, achieved and earned: built only where a field that is switched on takes them."""

from mappings.column import Column as _c

EVIDENCE_DECISIONS: dict[str, _c] = {
    "setup_products*": _c("VARCHAR", "setup", "each owned product with its set-up: done, or how many steps are; null = nothing reports on it"),
    "timeline*": _c("VARCHAR", "crm", "monthly revenue and score at the ends of the last twelve months, newest first"),
    "roi_status": _c("VARCHAR", "outcome", "recorded, fact_backed, confirmed: the best of the newest record of each measure; null = none"),
    "roi_note*": _c("VARCHAR", "outcome", "how many results there are of each, and the best one with its numbers, day and who confirmed it"),
    "success_progress": _c("DOUBLE", "outcome", "percent of the way to `success_target`, by the newest record of `success_metric`; 0 to 999"),
}
