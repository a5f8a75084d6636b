"""What the commands do. Nothing heavy is imported before a command is called, so that --help answers at once."""
