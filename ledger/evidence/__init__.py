"""Evidence: what proves, to whoever was not there, that history is what it was."""
