"""Predictive queries: one sentence that says what to predict, parsed, bound to a schema and compiled to SQL.

    text --parse--> Query --bind--> BoundQuery --compile--> DuckDB SQL over the snapshot
                                        └── explain --> plain words

Nothing here reads data, and nothing here knows a model.
"""
