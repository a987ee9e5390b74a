"""The federated methods, one per file, on one Flower strategy class.

Methods follow Belay, Rasheed and Salvo Rossi, "Digital Twin-Driven Communication-Efficient
Federated Anomaly Detection for Industrial IoT", arXiv 2601.01701.
"""
