"""Copies of what a program uses, so that it runs without consequences.

- `twins`: copies of agents, optimisers, functions and whatever they reach.
- `names`: the globals, closures and attributes that stand for the copies meanwhile.
- `environments`: environment agents, which write empty frames in place of stepping.
- `stand_ins`: what takes the place of files, loggers, environments and all that cannot be copied.
- `harmless`: random numbers, settings, texts and files as they were.
- `fake_tensors`: tensors without values, and the parameters that are not to be changed with them.
- `untraceable`: the errors of what cannot be done without consequences.
- `nested`: what lists, tuples and mappings hold.
"""
