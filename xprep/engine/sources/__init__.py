"""Lazy arrays that are read from somewhere, parts of them, and what other libraries' graphs read."""
