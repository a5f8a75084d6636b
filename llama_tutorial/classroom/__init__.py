"""The lessons as a classroom."""
