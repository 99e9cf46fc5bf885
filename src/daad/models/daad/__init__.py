"""DAAD and DAAD+, the paper's block-wise memories."""
