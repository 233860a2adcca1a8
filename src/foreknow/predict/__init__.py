"""Predict: from a bundle and a database to a table of predictions."""
