"""REST: URL grammar, JSON tensors and the JSON error object."""
