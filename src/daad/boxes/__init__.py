"""Boxes in, boxes out: the scale-aware detector for when labelled boxes are there."""
