"""What an algorithm is: what its author writes, what the loop expects of it, and its name."""
