"""Films of policies.

- `video`: `record_video`: a policy's episodes, one after the other, as an mp4 file.
- `playing`: whole episodes with a run's policies, for scores on fresh ones and for films.
- `pictures`: pictures as environments draw them, made into those that a film is made of.
"""

from workspace_rl.films.video import record_video

__all__ = ["record_video"]
