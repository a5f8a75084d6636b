"""What the check knows, a file for each component, named as the module that its lesson exports."""
