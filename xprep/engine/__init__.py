"""How it runs: chunks, halos, passes, memory. The only folder that knows dask."""
