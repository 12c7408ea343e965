"""Where bytes lie: URLs and places, keys of a store, listings, deadlines, and what is particular to single backends."""
