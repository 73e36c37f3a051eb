"""Fine-tune speech recognition on Japanese visual-novel speech, every step a DVC stage."""
