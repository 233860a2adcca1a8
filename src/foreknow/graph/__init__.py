"""Graph: the rows of a snapshot as memory-mapped columns and adjacency, sorted by time."""
