"""Foreknow predicts the future of the rows of a relational database, straight from its tables."""
