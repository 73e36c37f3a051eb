"""A Hugging Face data set of WebDataset tars."""
