"""A round: who is asked, which replies count, how they become one model, and what is kept.

`strategy` is the class that every method extends; it and the parts it is made of know no method.
"""
