"""ROIs and images: crops, masks, traces, features, each block of an image read once."""
