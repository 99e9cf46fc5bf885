"""`daad boxes`: object detection with labelled boxes; one file per verb."""
