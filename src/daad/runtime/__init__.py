"""Judging: from a scorer, a preprocessing and a calibration to predictions. Nothing here learns."""
