"""Task: what is predicted, for which rows, at which times, and how it is scored."""
