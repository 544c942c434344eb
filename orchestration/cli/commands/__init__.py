"""The commands with their options and help, one file for each panel of `millrace --help`."""
