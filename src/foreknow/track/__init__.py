"""Track: runs watched live in MLflow. Receives plain values; nothing here knows of networks or databases."""
