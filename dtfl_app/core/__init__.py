"""What every room stands on: errors, logs, and settings with the objects they are read into."""
