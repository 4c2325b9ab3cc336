"""How messages tell that an environment is wrapped, so that its spaces fit."""

#: How an environment is wrapped, in messages.
BY_WRAPPERS = "gym_env.wrappers in a configuration, GymAgent(..., wrappers=[...]) in a program"
#: By what an environment is wrapped in a way of one's own: what takes a function cannot stand in a configuration.
BY_OWN_OBSERVATIONS = (
    "gymnasium.wrappers.TransformObservation in a program, or a subclass of gymnasium.ObservationWrapper in "
    "gym_env.wrappers"
)
BY_OWN_ACTIONS = BY_OWN_OBSERVATIONS.replace("Observation", "Action")
