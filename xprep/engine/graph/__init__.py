"""Graphs: tasks and layers, the grid of blocks, tokens."""
