"""Work block by block: gathering with halos, borders, pacing, folds and reductions, tiles and how they are cut."""
