"""What every stage stands on: an edit here reruns everything."""
