"""Replacing a store in a bucket, which renames nothing: copies on the server's side, and going on after a kill."""
