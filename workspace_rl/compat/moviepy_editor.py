"""`moviepy.editor`, which moviepy 2 no longer has."""

from moviepy import *  # noqa: F403  (what moviepy.editor exported)

from workspace_rl.notebook import shown_video as ipython_display  # noqa: F401
