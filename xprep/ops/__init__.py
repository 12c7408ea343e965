"""What an operation means, for images: checks, dims and coordinates; DataArray in, lazy DataArray out; never computes."""
