"""Relational aggregates: what the past of each seed adds up to along foreign keys."""
