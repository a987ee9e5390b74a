"""From a data set and a twin to what a detector is fed: scaled windows, physical evidence."""
