"""The table of ROIs: made, checked, joined, stored and shown."""
