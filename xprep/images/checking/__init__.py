"""Looking at stores: what they hold, whether they are valid, whether they still hold what was written."""
