"""Each module measures this project and the tool a user would take instead, in one run."""
