"""Heat maps, plots and self-contained HTML pages, for people to look at."""
