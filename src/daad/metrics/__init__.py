"""Metrics: pure functions on labels and scores, and one mergeable state for pixels."""
