"""IGD, an interpolated Gaussian descriptor on features."""
