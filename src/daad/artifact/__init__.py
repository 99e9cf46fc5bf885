"""A fitted detector on disk: safe to load, checked on load, the same everywhere."""
