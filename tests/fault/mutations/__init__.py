"""The judge is judged: bugs planted in the product one at a time, each of which some test has to notice."""
