"""An unlabelled pool of images: which of them are not like the rest, and which are nearly the same."""
