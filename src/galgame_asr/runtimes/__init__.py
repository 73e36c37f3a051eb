"""What only decodes: exports, each by its runtime or read back from its files."""
