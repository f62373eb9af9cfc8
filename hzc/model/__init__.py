"""The model: weight file, registry, sizes, transforms, layers, windows, loading."""
