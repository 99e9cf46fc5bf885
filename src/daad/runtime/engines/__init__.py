"""The engines that can run a model; each gives a `Scorer`."""
