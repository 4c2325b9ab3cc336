"""`bbrl.utils`."""
