"""Copies of an environment that are stepped together, in this process or in others.

- `make_vector_env`: what the arguments of `GymAgent` describe.
- `sync_envs`: environments in this process, reset in the step after an episode's end.
- `one_episode`: environments that rest after their episode, without auto-reset.
- `async_envs`: environments in processes of their own.
- `workers`: what runs in those processes.
- `pipes`: the connections to them.
"""
