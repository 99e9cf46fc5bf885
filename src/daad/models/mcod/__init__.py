"""MCOD, outliers by a memory of prototypes."""
