"""Keys that a configuration does not have: where they stand, or what they are called here."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any

import torch

from workspace_rl.basics.plain_data import told
from workspace_rl.errors import ConfigError, did_you_mean, nearest

#: What stands for the section of each optimiser.
_OPTIMIZER = "*optimizer"
#: What stands for the sizes of each network.
_HIDDEN_SIZE = "algorithm.architecture.*hidden_size"

#: Dots in the key of what a network is made of, "algorithm.architecture.hidden_size".
_USUAL_DEPTH = 2

#: Words of BBRL, CleanRL, RLlib, stable-baselines3, TF-Agents and papers, by what they are called here. The first
#: target that an algorithm has is the one that is meant.
OTHERS_WORDS: dict[tuple[str, ...], str] = {
    ("algorithm.discount_factor",): "gamma discount discounting discount_rate",
    ("algorithm.tau_target",): "tau polyak polyak_tau soft_tau target_tau target_update_tau target_soft_update",
    ("algorithm.init_entropy_coef",): """
        alpha ent_coef ent_coeff entropy_coef entropy_coeff entropy_coefficient init_temperature initial_alpha
        temperature""",
    ("algorithm.entropy_mode",): """
        auto_alpha autotune automatic_entropy_tuning learn_alpha tune_alpha use_automatic_entropy_tuning""",
    (f"{_OPTIMIZER}.lr",): "learning_rate lr lr_schedule step_size adam_lr",
    ("actor_optimizer.lr",): "actor_learning_rate actor_lr pi_lr policy_learning_rate policy_lr",
    ("critic_optimizer.lr", "optimizer.lr"): "critic_learning_rate critic_lr q_learning_rate q_lr qf_lr vf_lr",
    ("entropy_coef_optimizer.lr",): "alpha_learning_rate alpha_lr ent_coef_lr entropy_learning_rate temperature_lr",
    (f"{_OPTIMIZER}.weight_decay",): "l2 l2_reg l2_regularization weight_decay",
    (f"{_OPTIMIZER}.eps",): "adam_eps adam_epsilon opt_eps optimizer_epsilon",
    (f"{_OPTIMIZER}.classname",): "optim optimizer_class optimizer_name optimizer_type",
    ("algorithm.n_steps",): """
        collect_steps collect_steps_per_iteration num_steps rollout_fragment_length rollout_length rollout_steps
        train_freq train_frequency train_interval update_every update_interval""",
    ("algorithm.updates_per_collect",): """
        gradient_steps n_updates num_updates replay_ratio train_iterations training_intensity update_to_data_ratio
        updates_per_step utd utd_ratio""",
    ("algorithm.n_step_return",): "multi_step n_step n_step_update nstep num_step_returns",
    ("algorithm.n_envs",): """
        env_num n_env nenv nenvs num_cpu num_env num_environments num_envs num_envs_per_env_runner
        num_envs_per_worker parallel_envs training_num""",
    ("algorithm.total_steps",): """
        env_steps max_frames max_steps max_timesteps n_timesteps num_env_steps num_frames num_timesteps
        num_train_steps timesteps timesteps_total total_env_steps total_frames total_timesteps train_steps""",
    ("algorithm.max_epochs",): "epochs n_epochs nb_epochs num_epochs num_iterations training_iteration",
    ("algorithm.epsilon_steps",): """
        decay_steps eps_decay eps_decay_steps epsilon_decay epsilon_decay_steps epsilon_timesteps
        exploration_fraction exploration_steps""",
    ("algorithm.epsilon_start",): """
        eps_start epsilon_init exploration_initial_eps initial_epsilon max_epsilon start_e""",
    ("algorithm.epsilon_end",): """
        end_e eps eps_end epsilon epsilon_greedy epsilon_min exploration_final_eps final_epsilon min_epsilon""",
    ("algorithm.target_update_interval", "algorithm.tau_target"): """
        target_freq target_network_frequency target_network_update_freq target_update target_update_freq
        target_update_frequency target_update_interval target_update_period""",
    ("algorithm.double",): "clip_double double_dqn double_q is_double use_double use_double_q",
    ("algorithm.architecture.dueling",): "dueling dueling_dqn use_dueling",
    ("algorithm.architecture.noisy",): "noisy noisy_linear noisy_net noisy_nets is_noisy use_noisy",
    ("algorithm.architecture.n_atoms",): "atoms n_atoms num_atoms",
    ("algorithm.architecture.v_min",): "v_min vmin",
    ("algorithm.architecture.v_max",): "v_max vmax",
    ("algorithm.architecture.n_quantiles",): "n_quantiles num_quantiles",
    ("algorithm.architecture.distribution",): "distributional",
    ("algorithm.architecture.hidden_size", _HIDDEN_SIZE): """
        fc_layer_params fcnet_hiddens hidden_dim hidden_dims hidden_layers
        hidden_size hidden_sizes hidden_units layer_sizes layers mlp_hidden net_arch num_units
        policy_kwargs""",
    ("algorithm.architecture.actor_hidden_size", "algorithm.architecture.hidden_size"): """
        actor_fc_layers actor_hidden_sizes pi_hidden_sizes""",
    ("algorithm.architecture.critic_hidden_size", "algorithm.architecture.hidden_size"): """
        critic_hidden_sizes joint_fc_layer_params q_hidden_sizes qf_hidden_sizes""",
    ("algorithm.architecture",): "features_extractor_class model network_kwargs policy policy_network",
    ("algorithm.buffer_size",): """
        buffer_capacity buffer_limit capacity max_buffer_size max_size memory_capacity memory_size
        replay_buffer_capacity replay_buffer_size replay_capacity replay_size rb_capacity""",
    ("algorithm.batch_size",): "minibatch_size mini_batch_size sample_batch_size train_batch_size",
    ("algorithm.learning_starts",): """
        learn_start learning_start min_buffer_size min_replay_size num_steps_sampled_before_learning_starts
        update_after train_start""",
    ("algorithm.random_steps",): """
        exploration_warmup initial_collect_steps initial_random_steps random_timesteps start_steps start_timesteps
        warm_up_steps warmup warmup_steps""",
    ("algorithm.max_grad_norm",): """
        clip_grad clip_grad_norm clipnorm grad_clip grad_clip_norm grad_clipping gradient_clip gradient_clipping
        max_gradient_norm""",
    ("algorithm.policy_delay",): """
        actor_update_freq actor_update_period delayed_policy_update policy_freq policy_frequency""",
    ("algorithm.policy_noise",): "smooth_target_policy target_noise target_policy_noise",
    ("algorithm.noise_clip",): "target_noise_clip target_policy_noise_clip",
    ("algorithm.exploration_noise",): "act_noise action_noise actor_noise expl_noise noise_std sigma",
    ("algorithm.state_dependent_exploration.resample_interval",): "sde_sample_freq sde_sample_interval",
    ("algorithm.state_dependent_exploration",): "gsde sde use_gsde use_sde",
    ("algorithm.hindsight.strategy",): "goal_selection_strategy goal_strategy replay_strategy",
    ("algorithm.hindsight.n_goals",): "her_k n_sampled_goal n_sampled_goals replay_k",
    ("algorithm.hindsight",): "her her_config hindsight_replay use_her",
    ("algorithm.prioritized.exponent",): """
        per_alpha prioritized.alpha prioritized_replay_alpha priority_alpha priority_exponent""",
    ("algorithm.prioritized.importance_exponent",): """
        beta0 beta_start importance_sampling_exponent per_beta prioritized.beta prioritized_replay_beta
        priority_beta""",
    ("algorithm.prioritized.epsilon",): "per_eps per_epsilon prioritized.eps prioritized_replay_eps priority_eps",
    ("algorithm.prioritized",): """
        per prioritised prioritised_replay prioritized_experience_replay prioritized_replay use_per
        use_prioritized_replay""",
    ("algorithm.action_mask",): """
        action_masking action_masks available_actions invalid_action_masking legal_actions mask mask_variable
        use_masking""",
    ("algorithm.reward_clip",): "clip_reward clip_rewards reward_clipping",
    ("algorithm.loss",): "loss_fn td_errors_loss_fn",
    ("algorithm.nb_evals",): """
        eval_episodes eval_num evaluation_duration evaluation_num_episodes n_eval n_eval_episodes n_evals
        num_eval_episodes num_evals test_num""",
    ("algorithm.eval_interval",): """
        eval_every eval_freq eval_frequency evaluation_interval steps_per_epoch test_interval""",
    ("algorithm.checkpoint_interval",): """
        checkpoint_every checkpoint_freq checkpoint_frequency save_freq save_interval""",
    ("algorithm.seed",): "random_seed rng_seed seeds",
    ("collectors.n",): """
        n_actors n_collectors n_workers num_actors num_collectors num_env_runners num_parallel_actors
        num_rollout_workers num_workers""",
    ("collectors.samples_per_insert",): "sample_to_insert_ratio samples_per_insert_ratio samples_to_insert_ratio spi",
    ("collectors.error_buffer",): "samples_per_insert_error_buffer samples_per_insert_tolerance_rate",
    ("collectors.max_weights_age",): "max_policy_lag max_staleness staleness",
    ("collectors.cpus_each",): "num_cpus_for_env_runner num_cpus_per_env_runner num_cpus_per_worker",
    ("collectors.max_restarts",): "max_num_env_runner_restarts max_num_worker_restarts restart_failed_env_runners",
    ("gym_env.env_name",): "env env_id environment game name_env task",
    ("gym_env.env_args",): "env_config env_kwargs environment_kwargs make_kwargs",
    ("gym_env.info_keys",): "info_keywords infos",
    ("gym_env.wrappers",): "env_wrapper env_wrappers wrapper wrapper_class",
    ("gym_env.max_episode_steps",): """
        episode_length horizon max_ep_len max_episode_length max_episode_timesteps time_limit""",
    ("gym_env.vectorization",): "vec_env_cls vec_env_class vectorized",
    ("gym_env.atari",): "atari_wrapper frame_skip frame_stack terminal_on_life_loss noop_max",
    ("logger.log_dir",): "logdir tb_dir tensorboard_dir tensorboard_log",
    ("logger.log_interval",): "log_every log_freq log_frequency log_freqency",
    ("base_dir",): "experiment_dir exp_dir output output_dir run_dir run_name save_dir save_path",
    ("device",): "cuda gpu num_gpus use_cuda use_gpu",
    ("save_best",): "save_model",
    ("record_best",): "capture_video record_video render save_video video",
    ("compile",): "torch_compile use_compile jit",
    ("precision",): "amp autocast bf16 dtype mixed_precision",
    ("torch_threads",): "n_threads num_threads threads torch_num_threads",
    ("algo",): "agent algo_name algorithm_name",
}  # fmt: skip
_TARGETS = {word: targets for targets, words in OTHERS_WORDS.items() for word in words.split()}
_KNOWN_WORDS = {*_TARGETS, *(target.rpartition(".")[2] for targets in OTHERS_WORDS for target in targets)}

#: The same for the arguments of optimisers.
OPTIMIZER_WORDS = {
    "learning_rate": "lr", "step_size": "lr", "alpha": "lr", "l2": "weight_decay", "decay": "weight_decay",
    "beta1": "betas", "beta2": "betas", "beta_1": "betas", "beta_2": "betas", "epsilon": "eps", "adam_eps": "eps",
    "name": "classname", "class": "classname", "type": "classname", "optimizer": "classname", "class_name": "classname",
}  # fmt: skip


def sections_of(schema: type[Any]) -> dict[str, type[Any]]:
    """Return the sections of a schema, which are dataclasses themselves: those that may be absent among them.

    A field `section: Section` is always there; one `section: Section | None = option(None, ...)` is there if somebody
    gives it, with the defaults of `Section` for what is not given.
    """
    sections = {}
    for name, hint in typing.get_type_hints(schema).items():
        is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
        members = typing.get_args(hint) if is_union else (hint,)
        found = next((one for one in members if dataclasses.is_dataclass(one)), None)
        if found is not None:
            sections[name] = typing.cast(type[Any], found)
    return sections


def check_keys(schema: type[Any], given: Any) -> None:
    """Raise a `ConfigError` for a key of `given` that the dataclass `schema` does not have, or a section that is none.

    The message says where such a key stands, what it is called here, or what is spelt like it.
    """
    _check(schema, given, "", schema)


def _check(section: type[Any], given: Any, path: str, schema: type[Any]) -> None:
    if not isinstance(given, dict):
        defaults = "; {} takes the defaults." if path else "."
        raise ConfigError(
            f"{path.rstrip('.') or 'the configuration'}: a dictionary of parameters expected, {told(given)} found"
            f"{defaults}"
        )
    hints, sections = typing.get_type_hints(section), sections_of(section)
    for key, value in given.items():
        if key not in hints:
            hint = _elsewhere(key, path, schema) or did_you_mean(str(key), hints)
            hint = hint or _misspelt(key, path, schema) or _similar(key, schema)
            raise ConfigError(f"unknown key {path + str(key)!r}.{hint} Valid here: {', '.join(hints)}.")
        if key in sections and not (value is None and hints[key] != sections[key]):
            _check(sections[key], value, f"{path}{key}.", schema)


def all_keys(schema: type[Any], prefix: str = "") -> dict[str, str]:
    """Return the keys of a schema, those of its sections as "section.key", with what each means."""
    keys: dict[str, str] = {}
    sections = sections_of(schema)
    for one in dataclasses.fields(schema):
        keys[prefix + one.name] = str(one.metadata.get("help", ""))
        if one.name in sections:
            keys |= all_keys(sections[one.name], f"{prefix}{one.name}.")
        elif one.metadata.get("optimizer"):
            known = dict.fromkeys(["classname", *list(inspect.signature(torch.optim.Adam).parameters)[1:]], "")
            keys |= {f"{prefix}{one.name}.{argument}": meaning for argument, meaning in known.items()}
    return keys


def _elsewhere(key: Any, path: str, schema: type[Any]) -> str:
    """Return where a key stands, or what it is called here."""
    keys = all_keys(schema)
    word = str(key).replace("-", "_").rpartition(".")[2]
    same = [full for full in keys if full.rpartition(".")[2] == word and full != path + word]
    # What belongs to encoders and memories is meant last: their words, such as "size", are others' for whole networks.
    found = [full for full in same if full.count(".") <= _USUAL_DEPTH]
    if found:
        return f" It belongs into {' or '.join(found)}."
    # A word may have a meaning of its own in a section: "alpha" of priorities is no entropy coefficient.
    section = path.rstrip(".").rpartition(".")[2]
    for target in _TARGETS.get(f"{section}.{word.lower()}", ()) or _TARGETS.get(word.lower(), ()):
        found = [one for one in keys if _is_target(one, target)]
        if found:
            meaning = keys[found[0]] if len(found) == 1 else ""
            return f" Here it is {' or '.join(found)}{f' ({meaning})' if meaning else ''}."
    return f" It belongs into {' or '.join(same)}." if same else ""


def _misspelt(key: Any, path: str, schema: type[Any]) -> str:
    """Return what another's word is called here that is spelt nearly like it."""
    near = difflib.get_close_matches(str(key).lower(), _TARGETS, n=1, cutoff=0.8)
    return _elsewhere(near[0], path, schema) if near else ""


def _is_target(key: str, target: str) -> bool:
    section, _, name = key.rpartition(".")
    if target == _HIDDEN_SIZE:
        return section == "algorithm.architecture" and name.endswith("hidden_size")
    return key == target or (target == f"{_OPTIMIZER}.{name}" and section.endswith("optimizer"))


def _similar(key: Any, schema: type[Any]) -> str:
    if str(key).lower() in _KNOWN_WORDS:  # it is no misspelling, but there is nothing of it in this schema
        return ""
    by_name = {full.rpartition(".")[2]: full for full in all_keys(schema)}
    near = nearest(str(key), by_name)
    return "" if near is None else f" Did you mean {by_name[near]!r}?"


def argument_hint(name: object, known: Mapping[str, Any]) -> str:
    """Return what an argument of an optimiser is called, where it has another name elsewhere; or an empty text."""
    word = OPTIMIZER_WORDS.get(str(name), "")
    return f" Here it is {word!r}." if word in known or word == "classname" else ""
