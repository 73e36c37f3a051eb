"""Publishing an export on the Hugging Face hub, with a model card made of the run's own files."""
