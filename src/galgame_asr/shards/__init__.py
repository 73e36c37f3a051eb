"""A corpus on disk: tar shards and their list."""
