"""What one block does: numpy in, numpy out. The only folder that knows numba."""
