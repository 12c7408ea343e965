"""Computing one graph: on threads of this process, or on the cluster of an active client."""
