"""Writing images: what is to be stored, the jobs of a run, resuming, and the report."""
