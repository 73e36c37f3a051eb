"""What only people see: no stage depends on it, and an edit reruns nothing."""
