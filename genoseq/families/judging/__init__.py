"""What new members are worth: splits, statistics and the panel."""
