"""`daad boxes`: boxes in, boxes out; one file per verb."""
