"""Feature extractors: learnt from good images, frozen, or a module of the user's own."""
