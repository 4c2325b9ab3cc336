"""Encoders: what makes one vector of features of an observation, of one part or of many.

- `encoder`: the base class, also of your own.
- `encoder_agent`: the library's: networks for pictures and vectors, zeros and ones for choices, side by side.
- `making`: whether an observation needs one, and the one that a configuration asks for.
"""

from workspace_rl.agents.encoders.encoder import Encoder
from workspace_rl.agents.encoders.encoder_agent import EncoderAgent
from workspace_rl.agents.encoders.making import make_encoder, needs_encoder

__all__ = ["Encoder", "EncoderAgent", "make_encoder", "needs_encoder"]
