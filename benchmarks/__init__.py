"""Scripts that measure the methods through Flower's engine and store what they measured."""
