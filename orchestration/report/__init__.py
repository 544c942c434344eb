"""`millrace report`: what happened over days, as one HTML file, by records, the lake, and its ops models."""
