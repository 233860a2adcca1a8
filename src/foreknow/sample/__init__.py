"""Sample: each seed's past as a tree of rows; nothing later than its seed time, ever."""
