"""Schema: what the tables of a database mean. No I/O: works on names, types and statistics."""
