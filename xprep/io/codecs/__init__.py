"""From chunks to bytes and back: codec chains, compression, grids of chunks, and how large what is decoded may be."""
