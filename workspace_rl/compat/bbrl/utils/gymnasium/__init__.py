"""`bbrl.utils.gymnasium`."""
