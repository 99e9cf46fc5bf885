"""From anomaly maps and raw scores to calibrated decisions and regions."""
