"""One module per published system, readable beside its paper."""
