"""Audio in tar shards: finding, reading and checking single utterances."""
