"""What a run leaves behind: one folder with settings, metrics, models, alarms and curves."""
