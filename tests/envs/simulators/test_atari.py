import subprocess
import sys

import numpy as np
import pytest
import torch

from workspace_rl import Agent, Agents, GymAgent, ReplayBuffer, TemporalAgent, Workspace, make_env
from workspace_rl.agents import RandomAgent
from workspace_rl.envs.simulators.atari import AtariOptions
from workspace_rl.errors import CompositionError, ConfigError, RenderingError
from workspace_rl.evaluation.evaluation import evaluate
from workspace_rl.experience.collector import Collector
from workspace_rl.films.video import record_video

pytest.importorskip("ale_py")
pytest.importorskip("cv2")

WAYS = ("sync", "vector_entry_point")
NOOP, FIRE = 0, 1
both_ways = pytest.mark.parametrize("way", WAYS)


def agent_of(way, n_envs=1, name="BreakoutNoFrameskip-v4", auto_reset=True, **options):
    return GymAgent(name, n_envs, auto_reset=auto_reset, vectorization=way, env_args={"atari": options})


class Actions(Agent):
    """Plays given actions `[T, B]`."""

    def __init__(self, actions):
        super().__init__()
        self.actions = torch.as_tensor(actions)

    def forward(self, t, **kwargs):
        self.set(("action", t), self.actions[t])


def play(agent, actions, seeds=None):
    if seeds is not None:
        agent.seed_episodes(seeds)
    workspace = Workspace()
    TemporalAgent(Agents(agent, Actions(actions)))(workspace, t=0, n_steps=len(actions))
    return workspace


def random_actions(n_steps, n_envs, n_actions=4):
    return np.random.default_rng(0).integers(n_actions, size=(n_steps, n_envs))


def always(action, n_steps, n_envs=1):
    return np.full((n_steps, n_envs), action)


# ---- both ways are one -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"terminal_on_life_loss": True},
        {"terminal_on_life_loss": True, "fire_reset": False, "frame_stack": 2, "frame_skip": 3, "screen_size": 64},
        {"max_frames_per_episode": 37},
        {"max_frames_per_episode": 5, "frame_skip": 1, "frame_stack": 1},
    ],
)
def test_the_same_actions_lead_to_the_same_bits(options):
    actions = random_actions(160, 2)
    first, second = (play(agent_of(way, 2, noop_max=0, **options), actions) for way in WAYS)
    for name in first:
        assert first[name].dtype == second[name].dtype
        assert torch.equal(first[name], second[name]), name
    assert first["env/done"].any()


@pytest.mark.parametrize("name", ["PongNoFrameskip-v4", "ALE/MsPacman-v5", "Qbert-v0"])
def test_whole_games_agree(name):
    options = {"noop_max": 0, "repeat_action_probability": 0.0}
    actions = random_actions(400, 1, 6)
    first, second = (play(agent_of(way, 1, name, **options), actions) for way in WAYS)
    for name in first:
        assert torch.equal(first[name], second[name]), name
    assert first["env/reward"].any()


@both_ways
def test_shapes_and_dtypes(way):
    agent = agent_of(way, 3)
    workspace = play(agent, random_actions(5, 3))
    assert workspace["env/env_obs"].shape == (5, 3, 4, 84, 84)
    assert workspace["env/env_obs"].dtype == torch.uint8
    assert agent.observation_space.shape == (4, 84, 84) and agent.observation_space.dtype == np.uint8
    assert agent.action_size == 4
    dtypes = {"reward": torch.float32, "terminated": torch.bool, "truncated": torch.bool, "timestep": torch.int64}
    for name, dtype in dtypes.items():
        assert workspace[f"env/{name}"].dtype == dtype and workspace[f"env/{name}"].shape == (5, 3)


@both_ways
def test_pictures_are_stacked_with_the_newest_last_and_zeros_at_the_start(way):
    observation = play(agent_of(way), random_actions(9, 1))["env/env_obs"][:, 0]
    assert not observation[0, :3].any() and observation[0, 3].any()
    assert torch.equal(observation[1:, :3], observation[:-1, 1:])
    assert observation.unique(dim=0).shape[0] == 9


@both_ways
def test_frames_are_never_changed_later(way):
    agent = agent_of(way, 2)
    workspace, actions = Workspace(), torch.from_numpy(random_actions(20, 2))
    kept = []
    for t in range(20):
        agent(workspace, t=t)
        workspace.set("action", t, actions[t])
        kept.append({name: workspace.get(name, t).clone() for name in workspace})
    for t, frame in enumerate(kept):
        for name, value in frame.items():
            assert torch.equal(workspace.get(name, t), value)


@both_ways
def test_every_environment_has_a_seed_of_its_own(way):
    options = {"name": "ALE/Breakout-v5"}
    actions = always(3, 25, 3)
    first = play(agent_of(way, 3, **options), actions, [7, 8, 2**31 - 1])["env/env_obs"]
    again = play(agent_of(way, 3, **options), actions, [2**31 - 1, 7, 7])["env/env_obs"]
    assert torch.equal(again[:, 0], first[:, 2])
    assert torch.equal(again[:, 1], first[:, 0]) and torch.equal(again[:, 2], first[:, 0])
    assert not torch.equal(first[:, 0], first[:, 1])


@both_ways
def test_the_agent_s_seed_decides_all_episodes(way):
    options = {"terminal_on_life_loss": True, "max_frames_per_episode": 40}
    actions = random_actions(30, 2)
    first = play(agent_of(way, 2, **options).seed(1), actions)["env/env_obs"]
    assert torch.equal(first, play(agent_of(way, 2, **options).seed(1), actions)["env/env_obs"])
    assert not torch.equal(first, play(agent_of(way, 2, **options).seed(2), actions)["env/env_obs"])


def test_processes_of_their_own():
    agent = agent_of("async", 2, noop_max=0)
    actions = random_actions(12, 2)
    workspace = play(agent, actions)
    agent.close()
    assert torch.equal(workspace["env/env_obs"], play(agent_of("sync", 2, noop_max=0), actions)["env/env_obs"])


# ---- options ---------------------------------------------------------------------------------------------------------


def emulator_says(envs, infos):
    """Return frames of the episode and lives of the first game: infos of single environments are thrown away."""
    if not hasattr(envs, "envs"):
        return int(infos["episode_frame_number"][0]), int(infos["lives"][0])
    emulator = envs.envs[0].unwrapped.ale
    return emulator.getEpisodeFrameNumber(), emulator.lives()


@both_ways
@pytest.mark.parametrize("fire", [False, True])
def test_episodes_start_with_up_to_noop_max_frames(way, fire):
    envs = agent_of(way, noop_max=3, fire_reset=fire).vector_env
    envs.reset(seed=[0])
    counts = np.bincount([emulator_says(envs, envs.reset()[1])[0] for _ in range(200)], minlength=4)
    # FIRE is pressed in any case, and counts.
    expected = np.array([0, 100, 50, 50] if fire else [50, 50, 50, 50])
    assert len(counts) == 4 and (np.abs(counts - expected) <= 25).all() and not counts[expected == 0].any()


@both_ways
def test_no_noops(way):
    envs = agent_of(way, noop_max=0, fire_reset=False).vector_env
    assert emulator_says(envs, envs.reset(seed=[3])[1])[0] == 0


@both_ways
def test_games_that_wait_for_fire_are_started(way):
    def lives_after(fire):
        envs = agent_of(way, fire_reset=fire).vector_env
        envs.reset(seed=[0])
        for _ in range(80):
            infos = envs.step(np.array([NOOP]))[4]
        return emulator_says(envs, infos)[1]

    assert lives_after(fire=True) < 5 == lives_after(fire=False)


@both_ways
def test_the_limit_counts_the_frames_that_were_played(way):
    workspace = play(agent_of(way, max_frames_per_episode=42), always(NOOP, 25))
    assert workspace["env/truncated"][:, 0].nonzero().flatten().tolist() == [11, 23]
    assert not workspace["env/terminated"].any()
    assert workspace["env/timestep"][:, 0].tolist() == [*range(12), *range(12), 0]


@both_ways
def test_a_life_s_loss_ends_the_episode_or_not(way):
    actions = np.where(np.arange(300) % 10 == 0, FIRE, NOOP)[:, None]
    lengths = {}
    for loss in (True, False):
        done = play(agent_of(way, terminal_on_life_loss=loss), actions)["env/terminated"][:, 0]
        lengths[loss] = int(done.nonzero()[0])
    assert lengths[False] > 4 * lengths[True]


@both_ways
def test_sticky_actions(way):
    def pictures(name, **options):
        agent = agent_of(way, 3, name, noop_max=0, fire_reset=False, **options)
        return play(agent, random_actions(30, 1).repeat(3, 1), [1, 2, 3])["env/env_obs"].transpose(0, 1)

    def n_different(pictures):
        return pictures.unique(dim=0).shape[0]

    # Without them and without no-ops, nothing is random.
    assert n_different(pictures("BreakoutNoFrameskip-v4")) == 1
    assert n_different(pictures("ALE/Breakout-v5", repeat_action_probability=0.0)) == 1
    assert n_different(pictures("ALE/Breakout-v5")) == 3
    assert n_different(pictures("BreakoutNoFrameskip-v4", repeat_action_probability=0.25)) == 3


@both_ways
def test_reward_clipping(way):
    actions = always(3, 110)  # to the left, when the music is over
    for clipping, rewards in ((False, {0, 10}), (True, {0, 1})):
        agent = agent_of(way, 1, "MsPacmanNoFrameskip-v4", noop_max=0, reward_clipping=clipping)
        assert set(play(agent, actions)["env/reward"].flatten().tolist()) == rewards


def test_without_options_the_game_stays_as_it_is():
    assert make_env("PongNoFrameskip-v4").observation_space.shape == (210, 160, 3)
    assert make_env("PongNoFrameskip-v4", atari={}).observation_space.shape == (4, 84, 84)
    assert GymAgent("PongNoFrameskip-v4", env_args={"atari": None}).observation_space.shape == (210, 160, 3)


def test_wrong_options_are_refused():
    with pytest.raises(
        ConfigError, match=r"'atari.frameskip'.*Did you mean 'frame_skip'.*Valid here: frame_skip, noop"
    ):
        make_env("PongNoFrameskip-v4", atari={"frameskip": 4})
    with pytest.raises(ConfigError, match="atari.frame_skip: a whole number of at least 1 expected, 0 found"):
        agent_of("vector_entry_point", frame_skip=0)
    with pytest.raises(ConfigError, match=r"atari.noop_max: .* at least 0 expected, 2.5 found"):
        AtariOptions(noop_max=2.5)
    with pytest.raises(ConfigError, match="atari.fire_reset: true or false expected, 1 found"):
        AtariOptions(fire_reset=1)
    with pytest.raises(
        ConfigError, match="atari.repeat_action_probability: a number from 0 to 1, or null, expected, 2"
    ):
        AtariOptions(repeat_action_probability=2)
    with pytest.raises(ConfigError, match="a dictionary of options expected, True found"):
        make_env("PongNoFrameskip-v4", atari=True)
    for way in WAYS:
        with pytest.raises(CompositionError, match="'CartPole-v1' is no Atari game"):
            agent_of(way, name="CartPole-v1")


# ---- scores, films, replay, noise ------------------------------------------------------------------------------------


@both_ways
def test_evaluation_plays_whole_episodes(way):
    class Player(Agent):
        def forward(self, t, **kwargs):
            timestep = self.get(("env/timestep", t))
            self.set(("action", t), torch.where(timestep % 8 == 0, FIRE, 2 + timestep % 2))

    agent = agent_of(way, 2, auto_reset=False, noop_max=0, max_frames_per_episode=1200)
    scores = evaluate(agent, Player(), [1, 2, 3])
    assert scores.returns == [scores.returns[0]] * 3 and scores.returns[0] > 0
    assert scores.lengths == [scores.lengths[0]] * 3
    other = evaluate(agent_of("sync", 1, auto_reset=False, noop_max=0, max_frames_per_episode=1200), Player(), [5])
    assert (other.returns, other.lengths) == (scores.returns[:1], scores.lengths[:1])


def test_films_show_the_colour_screen(tmp_path):
    args = {"render_mode": "rgb_array", "atari": {"max_frames_per_episode": 40}}
    agent = GymAgent("BreakoutNoFrameskip-v4", auto_reset=False, env_args=args)
    path = record_video(agent, Actions(always(FIRE, 64)), tmp_path / "film.mp4", [1])
    assert path.stat().st_size > 0
    assert agent.vector_env.metadata["render_fps"] == 15
    (picture,) = agent.render()
    assert picture.shape == (210, 160, 3) and picture.dtype == np.uint8
    assert (picture[..., 0] != picture[..., 1]).any()
    with pytest.raises(RenderingError, match="vectorization='sync'"):
        GymAgent("BreakoutNoFrameskip-v4", vectorization="vector_entry_point", env_args=args)


@both_ways
@pytest.mark.parametrize("options", [{"terminal_on_life_loss": True}, {"max_frames_per_episode": 30, "frame_stack": 3}])
def test_replay_rebuilds_the_stacks(way, options):
    env_agent = agent_of(way, 2, **options)
    collector = Collector(env_agent, RandomAgent(env_agent.action_space))
    names = ["env/env_obs", "action", "env/reward", "env/terminated"]
    size = options.get("frame_stack", 4)
    single, whole = ReplayBuffer(100, names, stacked={"env/env_obs": size}), ReplayBuffer(100, names)
    for _ in range(30):
        workspace = collector.collect(6)
        single.put(workspace)
        whole.put(workspace)
        torch.manual_seed(0)
        rebuilt = single.sample(64, 3)
        torch.manual_seed(0)
        given = whole.sample(64, 3)
        for name in given:
            assert torch.equal(rebuilt[name], given[name])


def test_nothing_is_printed():
    program = (
        "import torch, workspace_rl\n"
        "from workspace_rl import GymAgent, Workspace\n"
        "if __name__ == '__main__':\n"
        "    workspace_rl.envs.make_env('PongNoFrameskip-v4').reset()\n"
        "    for way in ('sync', 'vector_entry_point', 'async'):\n"
        "        agent = GymAgent('ALE/Pong-v5', 2, vectorization=way, env_args={'atari': {}})\n"
        "        workspace = Workspace()\n"
        "        agent(workspace, t=0)\n"
        "        workspace.set('action', 0, torch.zeros(2, dtype=torch.int64))\n"
        "        agent(workspace, t=1)\n"
        "        agent.close()\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("", "")


def test_a_missing_opencv_names_the_extra():
    program = (
        "import sys; sys.modules['cv2'] = None\n"
        "import workspace_rl, workspace_rl.errors\n"
        "try: workspace_rl.envs.make_env('PongNoFrameskip-v4', atari={})\n"
        "except workspace_rl.errors.MissingDependencyError as error: print(error)\n"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pip install --editable" in output and '[atari]"' in output


def test_the_faster_way_is_the_default():
    from workspace_rl.envs.simulators.atari import AtariVector

    assert isinstance(GymAgent("PongNoFrameskip-v4", 2, env_args={"atari": {}}).vector_env, AtariVector)
    assert not isinstance(
        GymAgent("PongNoFrameskip-v4", 2, env_args={"atari": {}}, vectorization="sync").vector_env, AtariVector
    )


def test_scores_are_those_of_whole_games():
    from workspace_rl.config.environment_config import EnvironmentConfig

    config = EnvironmentConfig("BreakoutNoFrameskip-v4", atari={"terminal_on_life_loss": True, "reward_clipping": True})
    learning, scoring = config.constructor_arguments()["atari"], config.constructor_arguments(scoring=True)["atari"]
    assert learning.terminal_on_life_loss and learning.reward_clipping
    assert not scoring.terminal_on_life_loss and not scoring.reward_clipping
