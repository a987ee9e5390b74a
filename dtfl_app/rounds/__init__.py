"""A round: who is asked, which replies count, how they become one model, and what is kept.

`method` is what a method's author reads, `strategy` the class that every method extends, and `loop`
runs it; they and the parts they are made of know no method.
"""
