"""The live page: what flows, what is late and what does not work, pushed to every browser that looks."""
