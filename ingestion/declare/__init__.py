"""What streams.yml declares: streams and their fields, validated, with the line in every error."""
