"""Testing: a toy database and what else makes tests short. Shipped, so that users can test too."""
