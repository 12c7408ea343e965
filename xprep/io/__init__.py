"""Where bytes live: URLs, stores, OME metadata, scratch. The only folder that knows zarr and fsspec."""
