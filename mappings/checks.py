"""What a model alone cannot see: SQL, references between files, weights, texts against fields. Every check gives all its faults."""

from mappings.checker import Checker
from mappings.checks_both import check_both
from mappings.checks_churn import check_churn
from mappings.checks_crm import check_crm
from mappings.checks_onboarding import check_onboarding
from mappings.checks_patterns import check_patterns
from mappings.checks_routing import check_routing
from mappings.checks_rules import check_rules
from mappings.checks_sales import check_sales
from mappings.checks_score import check_scores
from mappings.checks_sources import check_sources
from mappings.checks_writeback import check_writeback
from mappings.expressions import Expressions
from mappings.faults import Fault
from mappings.parts import Parts


def check_all(parts: Parts) -> tuple[list[Fault], list[Fault]]:
    """(faults, warnings) of everything that is valid by itself."""
    faults: list[Fault] = []
    with Expressions() as expressions:
        checker = Checker(parts, expressions)
        for check in (
            check_scores,
            check_rules,
            check_onboarding,
            check_patterns,
            check_sources,
            check_crm,
            check_both,
            check_writeback,
            check_routing,
            check_sales,
            check_churn,
        ):
            faults += check(checker)
    return faults, checker.warnings
