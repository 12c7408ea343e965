"""Arrays of a store: their metadata, reading and writing, new ones, coordinates, and sums of what they are read from."""
