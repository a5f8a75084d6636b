"""The check: runs what a learner wrote, and says which mistake was made or on which line it goes wrong."""
