"""What becomes of the results: the pages and figures of docs/ that hold numbers."""
