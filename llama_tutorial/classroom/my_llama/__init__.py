"""The student's desk and package: notebooks laid out, work judged in fresh processes, and what passes kept."""
