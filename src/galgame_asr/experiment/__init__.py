"""The run as a whole: all params, its checkpoints, profiles, remotes."""
