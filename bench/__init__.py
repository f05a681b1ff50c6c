"""Benchmarks: what scoresync costs, as ratios against the most direct way to the same columns. `python -m bench`; figures: docs/benchmarks.md."""
