"""YOLOv5's checkpoints and their releases."""
