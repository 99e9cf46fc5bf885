"""UTAD, the two-stage system."""
