"""Running a program on stand-ins, and noting who reads and writes what."""
