"""Source: where rows come from. The only room that opens databases and files for reading."""
