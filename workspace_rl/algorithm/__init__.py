"""What an algorithm is: what its author writes, what the loop expects of it, and its name.

- `definition`: what an algorithm's author writes: parameters, agents, and one update.
- `contract`: what the loop expects of an algorithm, told before it is missed.
- `names`: algorithms by their names, the library's and those of the user's own.
- `own_algorithms`: runs that algorithms of the user's own have made.
"""
