"""Published language models of proteins, wrapped."""
