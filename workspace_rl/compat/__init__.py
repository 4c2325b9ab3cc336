"""Other libraries' names for this library's pieces."""
