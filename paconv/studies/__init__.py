"""What this project claims, made again: its speed, its accuracy, its architectures and the paper's tables."""
