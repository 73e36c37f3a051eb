"""A page to listen to utterances and to correct their labels."""
