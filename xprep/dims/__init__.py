"""What images and ROIs both speak of: lengths and their units, what is evenly spaced, what lies on what."""
