"""Searching scenes larger than memory for what is unlike what a detector learnt."""
