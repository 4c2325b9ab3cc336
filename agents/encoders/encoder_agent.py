"""The library's encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workspace_rl.agents.bodies import IMAGE_NETWORKS
from workspace_rl.agents.encoders.encoder import Encoder
from workspace_rl.agents.encoders.part_networks import ChoicesNetwork, NumbersNetwork, PictureNetwork
from workspace_rl.agents.networks import build_mlp
from workspace_rl.basics.arguments import checked
from workspace_rl.errors import CompositionError, did_you_mean


class EncoderAgent(Encoder):
    """Makes one vector of features of an observation, of one part or of many.

    Pictures go through a convolutional network, choices become zeros and ones, other parts are numbers as they are, in
    one dimension; these two may go through layers of their own. All of it then stands side by side, in the order of the
    parts, and may go through further layers together.

    Reads the variable of each part at `t`, `[B, *shape]`; writes `<prefix><features_variable>` (`[B, n_features]`);
    with `t=None` over all of time at once.
    """

    @checked(least={"image_hidden_sizes": 1, "vector_hidden_sizes": 1, "hidden_sizes": 1}, unless=("parts",))
    def __init__(
        self,
        parts: Sequence[Mapping[str, Any]],
        *,
        images: str = "nature_cnn",
        image_hidden_sizes: Sequence[int] = (256,),
        vector_hidden_sizes: Sequence[int] = (),
        hidden_sizes: Sequence[int] = (),
        activation: type[nn.Module] = nn.ReLU,
        features_variable: str = "features",
        name: str | None = None,
    ) -> None:
        """Build the networks of all parts.

        Args:
            parts: what is read, as `GymAgent.observation_parts` gives it: for each part its `variable`, its `kind`
                ("picture", "choices" or "numbers"), its `shape`, and least value and count of its `choices`. A picture
                is `[C, H, W]`, or a stack of S of them, `[S, C, H, W]`, which is read as `S x C` channels.
            images: the network for pictures, "nature_cnn" or "impala_cnn".
            image_hidden_sizes: of the layers that follow it.
            vector_hidden_sizes: of the layers over each part that is no picture.
            hidden_sizes: of the layers over all parts, side by side.
            activation: stands after each layer.
            features_variable: what is written.
            name: the agent's name.

        Raises:
            CompositionError: there is no such network, or `parts` are not of this form.
            UnsupportedSpaceError: pictures are too small for their network.
        """
        super().__init__(parts, features_variable=features_variable, name=name)
        if images not in IMAGE_NETWORKS:
            raise CompositionError(
                f"{self.description()}: images: one of {', '.join(IMAGE_NETWORKS)} expected, {images!r} found."
                f"{did_you_mean(images, IMAGE_NETWORKS)}"
            )
        #: The network of each part.
        self.networks = nn.ModuleList(
            PictureNetwork(part, images, image_hidden_sizes, activation)
            if part["kind"] == "picture"
            else _OTHERS[part["kind"]](part, vector_hidden_sizes, activation)
            for part in self.parts
        )
        size = sum(int(network.n_features) for network in self.networks)  # type: ignore[arg-type, misc]
        #: What follows on all of them, side by side.
        self.joint = build_mlp([size, *hidden_sizes], activation, activation)
        self.n_features = hidden_sizes[-1] if hidden_sizes else size

    def encode(self, observation: dict[str, Tensor], leading: int) -> Tensor:
        """Return features, `[*L, n_features]`, of parts, `[*L, *shape]`."""
        features = [
            network(observation[part["variable"]], leading)
            for part, network in zip(self.parts, self.networks, strict=True)
        ]
        encoded: Tensor = self.joint(torch.cat(features, dim=-1))
        return encoded


_OTHERS: dict[str, type[ChoicesNetwork] | type[NumbersNetwork]] = {"choices": ChoicesNetwork, "numbers": NumbersNetwork}
