"""`daad detect`: boxes in, boxes out; one file per verb."""
