"""What TensorBoard is told of a whole run, in the folder of its other events."""

import json

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from workspace_rl.algos import SAC
from workspace_rl.runs.tensorboard_run import add_run


def test_a_run_tells_its_hyperparameters_its_scores_and_its_film(tiny_sac, tmp_path):
    result = SAC(tiny_sac | {"logger": {"save_tensorboard": True}, "record_best": True}).train(progress=False)
    assert result.video is not None and result.final is not None
    folder = result.run / "tensorboard"
    assert not [one for one in folder.iterdir() if one.is_dir()]
    events = EventAccumulator(str(folder)).Reload()
    (start,) = [
        data
        for content in events.summary_metadata.values()
        if content.plugin_data.plugin_name == "hparams"
        for data in [plugin_data_pb2.HParamsPluginData.FromString(content.plugin_data.content)]
        if data.HasField("session_start_info")
    ]
    values = start.session_start_info.hparams
    assert values["algorithm.seed"].number_value == result_seed(result)
    assert values["gym_env.env_name"].string_value
    (score,) = events.Scalars("score/final")
    assert abs(score.value - result.final.mean) < 1e-3 * abs(result.final.mean) and score.step == result.steps
    (film,) = events.Images("film of the best policy")
    assert film.encoded_image_string.startswith(b"GIF89a") and film.height <= 200
    assert json.loads((result.run / "wall_time.json").read_text())["seconds"] > 0


def test_a_film_that_cannot_be_read_is_left_out(tmp_path):
    (film := tmp_path / "film.mp4").write_bytes(b"no film")
    add_run(tmp_path / "events", {"seed": 1}, {"score/final": 2.0}, film, 10)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [one.value for one in events.Scalars("score/final")] == [2.0] and not events.Tags()["images"]


def result_seed(result):
    from workspace_rl.runs.run import Run

    return Run(result.run).config.algorithm.seed
