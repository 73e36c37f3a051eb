"""A Hugging Face data set of parquet files."""
