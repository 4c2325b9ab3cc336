"""`bbrl.visu`."""
