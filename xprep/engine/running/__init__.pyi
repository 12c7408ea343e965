from .cluster import connect as connect
