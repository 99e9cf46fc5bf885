"""What people look at: heat maps, plots, and the self-contained HTML report of an evaluation."""
