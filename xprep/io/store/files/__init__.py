"""Files that are no stores and are read as if they were: TIFF, and what readers of bioio open."""
