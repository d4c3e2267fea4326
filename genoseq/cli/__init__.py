"""The command line: one file per command; `main` lists them and loads one only when it runs."""
