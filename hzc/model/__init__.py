"""The transforms: sizes, layers, windows, loading."""
