"""Several passes over one image: what is kept between them, exact quantiles."""
