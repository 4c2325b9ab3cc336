"""Policies tried on what is made up: what goes from one step to the next, where it is forgotten, what is random.

- `episodes`: made-up frames of environments that end at different steps.
- `acting`: copies of a policy that act on them.
- `dependence`: which state changes what is written later, by changing it.
- `candidates`: which variables may be memory.
- `again`: what runs again on what is stored.
- `faults`: what is wrong with a memory, by these dependences.
- `hidden`: what is remembered outside of the workspace.
- `trying`: all of it, for one policy.
- `trials`: whether policies draw their actions, and gather statistics.
"""
