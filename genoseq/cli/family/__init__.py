"""``genoseq family``: one file a command."""
