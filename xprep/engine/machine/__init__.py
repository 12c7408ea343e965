"""What computes: clients, forked processes, memory and its limits, attempts, progress."""
