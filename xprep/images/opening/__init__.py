"""Opening: images, levels, coordinates and channels from stores, as lazy xarray objects."""
