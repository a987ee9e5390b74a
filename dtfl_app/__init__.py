"""DTFL: federated anomaly detection for industrial sites, driven by a digital twin."""
