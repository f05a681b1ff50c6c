"""Area under the ROC curve."""

from collections.abc import Sequence


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """The share of (positive, negative) pairs in which the positive has the higher score; a tie counts half. ValueError without both kinds."""
    positives = sum(positive)
    negatives = len(positive) - positives
    if not positives or not negatives:
        raise ValueError("needs at least one positive and one negative")
    order = sorted(range(len(scores)), key=lambda i: scores[i])
    ranks, start = 0.0, 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        ranks += (start + 1 + end) / 2 * sum(positive[i] for i in order[start:end])
        start = end
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)
