"""The `dtfl` command: one file per command, each a thin door to the room that does the work."""
