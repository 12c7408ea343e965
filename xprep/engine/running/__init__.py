"""Running graphs on threads and clusters, watching them, and what a run would cost."""
