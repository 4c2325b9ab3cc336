import gymnasium as gym
import pytest
import torch
from stable_baselines3.common.torch_layers import NatureCNN as SB3NatureCNN

from workspace_rl.agents import NatureCNN
from workspace_rl.errors import UnsupportedSpaceError

IMAGES = (4, 84, 84)


def pictures(*leading, shape=IMAGES):
    return torch.randint(0, 256, (*leading, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_images_equal_those_of_stable_baselines3():
    theirs = SB3NatureCNN(gym.spaces.Box(0, 255, IMAGES, "uint8")).double()
    ours = NatureCNN(IMAGES).double()
    ours.convolutions.load_state_dict(theirs.cnn.state_dict())
    ours.linear.load_state_dict(theirs.linear.state_dict())
    images = pictures(3)
    torch.testing.assert_close(ours(images), theirs(images.double() / 255), rtol=1e-9, atol=1e-12)


def test_images_are_divided_by_255_if_they_are_integers():
    body, images = NatureCNN(IMAGES), pictures(3)
    torch.testing.assert_close(body(images), body(images.float() / 255))


@pytest.mark.parametrize("as_floats", [False, True])
def test_images_of_all_time_are_those_of_each_step(as_floats):
    body, images = NatureCNN((2, 40, 44), [16]), pictures(3, 5, shape=(2, 40, 44))
    images = images.float() / 255 if as_floats else images
    features = body(images)
    assert features.shape == (3, 5, 16)
    for t in range(3):
        torch.testing.assert_close(features[t], body(images[t]))


def test_what_are_no_images_and_small_ones_are_refused():
    with pytest.raises(UnsupportedSpaceError, match=r"images of shape \(channels, height, width\), not \(3,\)"):
        NatureCNN([3])
    with pytest.raises(UnsupportedSpaceError, match=r"at least 36 x 36 pixels, channels first, not \(84, 84, 4\)"):
        NatureCNN((84, 84, 4))
    assert NatureCNN((1, 36, 36))(pictures(2, shape=(1, 36, 36))).shape == (2, 512)
