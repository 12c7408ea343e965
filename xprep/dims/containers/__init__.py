"""One operation for a DataArray, a Dataset and a DataTree: what they hold, which nodes are levels, what follows an image."""
