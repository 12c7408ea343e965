"""Benchmarks of xprep: time, peak memory, tasks and reads per chunk.

From the folder ``asv_bench``: ``asv run --python=same --quick``, or ``asv run main`` and ``asv publish``.
"""
