"""Functions of the reference that go through whole tables and images."""
