"""The public object: a fitted model with its preprocessing, its calibration and where it came from."""
