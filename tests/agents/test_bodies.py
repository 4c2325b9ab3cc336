import gymnasium as gym
import pytest
import torch
from stable_baselines3.common.torch_layers import NatureCNN as SB3NatureCNN
from torch import nn
from torch.nn import functional

from workspace_rl.agents import ImpalaCNN, NatureCNN
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


@pytest.mark.parametrize("network", [NatureCNN, ImpalaCNN])
def test_images_are_divided_by_255_if_they_are_integers(network):
    body, images = network(IMAGES), pictures(3)
    torch.testing.assert_close(body(images), body(images.float() / 255))


@pytest.mark.parametrize("as_floats", [False, True])
@pytest.mark.parametrize("network", [NatureCNN, ImpalaCNN])
def test_images_of_all_time_are_those_of_each_step(network, as_floats):
    body, images = network((2, 40, 44), [16]), pictures(3, 5, shape=(2, 40, 44))
    images = images.float() / 255 if as_floats else images
    features = body(images)
    assert features.shape == (3, 5, 16)
    for t in range(3):
        torch.testing.assert_close(features[t], body(images[t]))


def test_what_are_no_images_and_small_ones_are_refused():
    with pytest.raises(UnsupportedSpaceError, match=r"images of shape \(channels, height, width\), not \(3,\)"):
        NatureCNN([3])
    with pytest.raises(UnsupportedSpaceError, match=r"at least 36 x 36 pixels, channels first, not \(4, 12, 12\)"):
        NatureCNN((4, 12, 12))
    for network, shape in ((NatureCNN, (84, 84, 4)), (ImpalaCNN, (84, 84, 3)), (ImpalaCNN, (12, 12, 3))):
        with pytest.raises(UnsupportedSpaceError, match="images with channels first, not"):
            network(shape)
    assert NatureCNN((1, 36, 36))(pictures(2, shape=(1, 36, 36))).shape == (2, 512)


def impala_by_hand(body, images):
    """Figure 3, right, of Espeholt et al. 2018, layer by layer."""
    x = images.double() / 255
    stages = [layer for layer in body.convolutions if any(True for _ in layer.parameters())]
    for convolution, *blocks in (stages[:3], stages[3:6], stages[6:]):
        x = functional.max_pool2d(convolution(x), 3, 2, 1)
        for block in blocks:
            first, second = (layer for layer in block.layers if any(True for _ in layer.parameters()))
            x = x + second(functional.relu(first(functional.relu(x))))
    return functional.relu(body.linear[0](functional.relu(x).flatten(1)))


@pytest.mark.parametrize("shape", [(3, 96, 72), (4, 12, 9), (1, 5, 5), (2, 1, 1)])
def test_impala_is_that_of_the_paper_for_pictures_of_any_size(shape):
    torch.manual_seed(0)
    body, images = ImpalaCNN(shape).double(), pictures(3, shape=shape)
    expected = impala_by_hand(body, images)
    assert expected.shape == (3, 256) == (3, body.n_features) and (expected > 0).any()
    torch.testing.assert_close(body(images), expected)
    convolutions = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [16] * 5 + [32] * 10
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
