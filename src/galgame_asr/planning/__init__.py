"""What a phase needs before a GPU is rented: parameters, memory, steps and time."""
