"""What surrounds a program: files that appear whole or not at all, processes, threads, interrupts, versions."""
