"""What a CPU can do at most, for benchmarks."""
