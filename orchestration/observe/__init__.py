"""The supervisor's eyes: looks at what may go wrong, keeps the journal, and posts what it found."""
