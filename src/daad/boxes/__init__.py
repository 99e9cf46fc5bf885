"""Object detection learnt from labelled boxes: the scale-aware detector SCOD."""
