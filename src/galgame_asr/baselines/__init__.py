"""Other people's models and transcripts, as rows of the report."""
