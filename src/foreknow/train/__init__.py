"""Train: the loop, its checkpoints, its baselines and its pictures."""
