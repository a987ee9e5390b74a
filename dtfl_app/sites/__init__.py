"""One industrial site's data: reading, features, scaling, and how a data set becomes sites.

Knows pandas and the shared vocabulary, nothing of Flower or torch.
"""
