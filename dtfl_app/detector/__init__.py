"""What is learned and how it is judged: models, training, scores, thresholds, metrics.

Knows torch, numpy and scikit-learn; nothing of Flower, the sites or the twin.
"""
