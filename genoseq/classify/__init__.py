"""Classification by compression: context mixtures, compression distances, k-mer neighbours, and honest evaluation."""
