"""What an operation means, for regions of interest: the table, masks, windows, features, traces."""
