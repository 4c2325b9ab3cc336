"""Running a program on copies and fake tensors, to see what it does.

- `tracer`: traces an agent, an algorithm, or a function of a batch.
- `trace`: what it has seen.
- `agents`: runs agents over their first steps.
- `updates`: runs updates, and sees optimisers step.
- `inputs`: what others have written before.
- `batches`: what an algorithm's update is given.
- `layouts`: shapes and dtypes of variables, and workspaces that look so.
- `ends`: updates tried on batches in which episodes end.
- `broadcasting`: `[B]` that meets `[B, 1]`.
- `limits`: where a trace is at its end.
"""
