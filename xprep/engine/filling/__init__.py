"""Filling stores: tiles and levels written once, what was seen of them, what an earlier run left."""
