"""What environments must be and return, checked at each step without costing one.

- `checks`: environments, and what their `reset` and `step` return.
- `infos`: keys of infos that somebody asks for by name.
- `observations`: whether observations fit their space.
- `finite`: NaN and infinity.
- `shared_environments`: environments that should be apart and are the same object.
- `failures`: the error that says which environment failed.
- `checked_env`: an environment that is checked where others step it.
- `checked_vector`: the same for vector environments.
"""
