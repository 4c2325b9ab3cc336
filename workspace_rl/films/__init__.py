"""Films of policies."""

from workspace_rl.films.video import record_video

__all__ = ["record_video"]
