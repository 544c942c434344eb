"""What flows where in a project: from its sources to its last models, as a graph and as pictures of it."""
