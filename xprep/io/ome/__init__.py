"""OME-Zarr: reading and writing its metadata, and the rules that a document must keep."""
